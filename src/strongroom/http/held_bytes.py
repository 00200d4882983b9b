"""The memory that clients make a worker hold: requests that have no answer yet, and answers that nobody reads."""


class HeldBytes:
    """Counts bytes, up to ``limit``. Lives on the event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def change(self, by: int) -> bool:
        """Count more or fewer bytes; tell whether more were counted than there is room for.

        They are counted all the same: whoever is told so lets go of what it holds, and counts again.
        """
        self.held += by
        return by > 0 and self.held > self._limit
