"""A cache miss that cannot be served on the event loop."""


class MustWait(Exception):
    """The store has to be read or written first, and the caller may not wait for that on its thread.

    The work is then started again, from its beginning, on a thread that may wait. So nothing may be changed before
    this is raised.
    """
