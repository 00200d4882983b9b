"""A cache miss where the caller may not wait."""


class MustWait(Exception):
    """A call needs the database, and runs where it may not wait for it: on the event loop.

    It is taken from there to a thread, and begins anew.
    """
