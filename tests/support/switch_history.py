"""What a switch may be at a moment, given which attempts to turn it were made and acknowledged.

A switch is turned by one client at a time, which waits for the answer. So the state that was acknowledged last counts,
and until the next attempt is acknowledged, that one may count as well. An attempt without an answer, or with one that
leaves its outcome open, may have its effect until a later one is acknowledged: both lock the same row, one after the
other.

Moments are nanoseconds of the system's monotonic clock, which all processes share.
"""

import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager

from fast_client import CallRefused
from ledger import Attempt


class SwitchHistory:
    """The attempts to turn one switch, in the order in which they were made. One thread at a time may add to it."""

    def __init__(self) -> None:
        self._attempts: list[Attempt] = []
        self._acknowledged: list[tuple[int, int]] = []
        """When an attempt was acknowledged, and which of them it was."""
        self.turns: list[float] = []
        """How many seconds each turn took, from its first attempt until one was acknowledged."""

    @property
    def unknown(self) -> int:
        """How many attempts have an unknown outcome."""
        return len(self._attempts) - len(self._acknowledged)

    @contextmanager
    def attempt(self, *, on: bool) -> Iterator[None]:
        """Note a call that turns the switch; one that is refused, with a fault of the client, has not done so."""
        number = len(self._attempts)
        made = Attempt(on, time.monotonic_ns())
        self._attempts.append(made)
        try:
            yield
        except CallRefused as error:
            if not error.outcome_unknown:
                self._attempts.pop()
            raise
        made.acknowledged = time.monotonic_ns()
        first = self._acknowledged[-1][1] + 1 if self._acknowledged else 0
        self.turns.append((made.acknowledged - self._attempts[first].sent) / 1e9)
        self._acknowledged.append((made.acknowledged, number))

    def allows(self, *, on: bool, began: int, ended: int) -> bool:
        """Tell whether a call that began and ended at these moments may have found the switch so."""
        place = bisect_left(self._acknowledged, (began, -1)) - 1
        if place < 0:
            # Nothing is known yet.
            return True
        for attempt in self._attempts[self._acknowledged[place][1] :]:
            if attempt.sent > ended:
                return False
            if attempt.value is on:
                return True
        return False

    def told(self, began: int) -> str:
        """Return which attempts there were around a moment, for a message."""
        near = [each for each in self._attempts if abs(each.sent - began) < 5_000_000_000]
        return ", ".join(
            f"{'on' if each.value is True else 'off'} from {_milliseconds(each.sent, began)} "
            f"to {'?' if each.acknowledged is None else _milliseconds(each.acknowledged, began)}"
            for each in near[-6:]
        )


def _milliseconds(moment: int, began: int) -> str:
    return f"{(moment - began) / 1e6:+.1f} ms"
