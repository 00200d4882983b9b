"""Counts the memory that clients occupy in a worker: unanswered requests, and answers that are not read."""


class HeldBytes:
    """Counts bytes, up to ``limit``. Lives on the event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def change(self, by: int) -> bool:
        """Count more or fewer bytes; return True if more were added and the limit is exceeded.

        They are counted even then: the caller has to release them, and to count that.
        """
        self.held += by
        return by > 0 and self.held > self._limit
