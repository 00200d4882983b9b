"""How many records requests may leave that nobody vouches for: enough to see an attack, too few to fill a disk."""

import logging

logger = logging.getLogger(__name__)

_AT_ONCE = 1000.0
_PER_SECOND = 20.0


class Ration:
    """Hands out a thousand at once, and twenty more each second. Lives on the event loop."""

    def __init__(self) -> None:
        self._left = _AT_ONCE
        self._counted_at = 0.0
        self._refused = 0

    def take(self, now: float) -> bool:
        """Tell whether there is one left at a time (epoch seconds)."""
        self.settle(now)
        if self._left < 1:
            if not self._refused:
                logger.warning("requests that nobody vouches for come too fast for each to be recorded")
            self._refused += 1
            return False
        self._left -= 1
        return True

    def settle(self, now: float) -> None:
        """Have the log tell how many were refused, once their rush is over."""
        self._left = min(_AT_ONCE, self._left + max(0.0, now - self._counted_at) * _PER_SECOND)
        self._counted_at = now
        if self._left > _AT_ONCE / 2:
            self.tell()

    def tell(self) -> None:
        """Have the log tell how many were refused since it last told, if there are any."""
        if self._refused:
            logger.warning("%d refused requests that nobody vouched for have no audit record", self._refused)
            self._refused = 0
