"""Moves the time of a development server, and has the keeper do what became due before that returns."""

import threading
from collections.abc import Callable, Iterator

from strongroom.clock import DAY
from strongroom.development.clock import MovableClock
from strongroom.maintenance.clock_watch import reading_of
from strongroom.trusted_time import Reading

LONGEST = 36_500 * DAY
"""By how much the clock can be ahead at most: a hundred years."""

_SHORTEST_STEP = 60.0
_MOST_STEPS = 1000


class TimeControl:
    """Moves a clock. Safe to use from several threads.

    ``chores`` is a round of the keeper, and ``next_due`` returns when it has something to do, if that is not after a
    time. ``accept`` has it believe the clock as it is at a reading.
    """

    def __init__(
        self,
        clock: MovableClock,
        chores: Callable[[], object],
        next_due: Callable[[float], float | None],
        accept: Callable[[Reading], None],
    ) -> None:
        self._clock = clock
        self._chores = chores
        self._next_due = next_due
        self._accept = accept
        self._round = threading.Lock()

    @property
    def ahead(self) -> float:
        """By how many seconds the clock is ahead of the machine's."""
        return self._clock.ahead

    def now(self) -> float:
        """Return the time of the server, epoch seconds."""
        return self._clock.now()

    def run_chores(self) -> None:
        """Run one round of the keeper, which is for one thread at a time."""
        with self._round:
            self._chores()

    def confirm(self) -> None:
        """Have the service believe the clock from its next round on: only the developer sets this one."""
        self._accept(reading_of(self._clock))

    def advance(self, seconds: float) -> None:
        """Let time pass. What is due by then has been done when this returns.

        The time passes from one due date to the next, in at most some thousand steps. So a key that rotates each year
        rotates as often as years pass, and each rotation has its date. Raises ValueError for less than no time, and for
        more than a hundred years in all.
        """
        with self._round:
            if not 0 < seconds <= LONGEST - self._clock.ahead:
                raise ValueError("the clock can be advanced by more than 0 seconds, and by a hundred years in all")
            with self._clock.held() as move:
                for time in self._steps(self._clock.now() + seconds, max(_SHORTEST_STEP, seconds / _MOST_STEPS)):
                    move(time)
                    self.confirm()
                    self._chores()

    def set_back(self) -> None:
        """Set the clock back to the machine's. What was done stays done."""
        with self._round:
            if self._clock.ahead:
                self._clock.set_back()
                self.confirm()
                self._chores()

    def _steps(self, end: float, shortest: float) -> Iterator[float]:
        """Yield the times of the keeper's rounds: the due dates, and the end.

        Two are at least ``shortest`` apart where something stays due, and after a thousand of them.
        """
        count = 0
        while (now := self._clock.now()) < end:
            due = self._next_due(end)
            if due is None:
                due = end
            elif due <= now or count >= _MOST_STEPS:
                due = max(due, now + shortest)
            count += 1
            yield min(end, due)
