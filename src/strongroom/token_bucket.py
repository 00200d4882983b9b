"""A token bucket: the rate limit behind request quotas and behind the records of unauthenticated requests.

Pure: the time is an argument. It is not safe to use from several threads; its owner has the lock.
"""

_SET_BACK = 120.0
"""Seconds by which no call is counted late."""


class TokenBucket:
    """Holds up to ``capacity`` tokens, is full at first, and gains ``rate`` tokens a second.

    Times are seconds on any one clock. An earlier time than the latest one seen adds nothing, so that calls which are
    counted late, out of order, cannot gain tokens twice. A much earlier one is that of a clock that was set back: from
    then on the bucket fills again.
    """

    __slots__ = ("_capacity", "_tokens", "_updated_at", "rate")

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self.rate = rate
        self._capacity = capacity
        self._tokens = capacity
        self._updated_at = now

    def change_rate(self, rate: float, capacity: float, now: float) -> None:
        """Gain another number of tokens a second from now on, and hold up to another ``capacity``."""
        self._tokens = min(self.level(now), capacity)
        self.rate = rate
        self._capacity = capacity

    def level(self, now: float) -> float:
        """Return how many tokens there are; fewer than none after a request that cost more than was left."""
        if now > self._updated_at:
            self._tokens = min(self._capacity, self._tokens + (now - self._updated_at) * self.rate)
            self._updated_at = now
        elif now < self._updated_at - _SET_BACK:
            self._updated_at = now
        return self._tokens

    def take(self, now: float, cost: int = 1) -> bool:
        """Take ``cost`` tokens and return True; return False, and take none, if there is not one whole token.

        A request may cost more than is left. What is missing is paid back before the next request is let through.
        """
        if self.level(now) < 1:
            return False
        self._tokens -= cost
        return True
