"""The watch over the wall clock: reads the clocks in every round, and says so when the wall clock was set.

``trusted_time`` decides; this module reads, keeps what is known in a file, and reports. Each process of a node has a
watch of its own, and all of them see the same: the state that was kept, and the same clocks.
"""

import logging
from collections.abc import Callable
from math import inf
from typing import Protocol

from strongroom.clock import DAY, Clock
from strongroom.errors import KmsError
from strongroom.problems import Problems, Subject
from strongroom.trusted_time import (
    STEP,
    DatabaseTime,
    Doubt,
    Moment,
    Reading,
    TrustedTime,
    accepted,
    first,
    observed,
    without_unsure,
)

logger = logging.getLogger(__name__)

_SAVED_EVERY = 60.0
_CHECKED_EVERY = DAY
_HOUR, _MINUTE = 3600.0, 60.0

_HELD = "what is due by one of the two alone is not deleted, rotated or erased"
_TEXTS = {
    Doubt.STARTED: "the machine was started, and its clock is {} of the last time that this node knew, or was set "
    f"since; {_HELD} until the clock has run evenly for ten minutes, or you run: strongroom clock accept",
    Doubt.STEPPED: "the clock of this machine was set, and is {} of the time that has passed since; "
    f"{_HELD}. Set the clock right; or, if it is right now, run: strongroom clock accept",
    Doubt.RETURNED: "the clock of this machine was set, and has come back; it must agree for ten minutes",
}


_OTHER_CLOCK = (
    "the clock of this machine is {} that of the database; what is due by one of the two alone is not deleted, rotated "
    "or erased. Set the one right that is wrong"
)


class ClockRecord(Protocol):
    """Keeps what is known of the time, from start to start of the server."""

    def read(self) -> TrustedTime | None:
        """Return what was kept; None if there is nothing, or nothing that can be read."""
        ...

    def write(self, known: TrustedTime) -> None:
        """Keep what is known, in the place of what was kept before; raises OSError."""
        ...

    def acceptance(self) -> Reading | None:
        """Return the clocks as they were when an operator accepted the wall clock last; None if none did."""
        ...


class ClockWatch:
    """Knows the trusted time. ``observe`` and ``save`` are for one thread; the times can be asked for from any."""

    def __init__(
        self,
        clock: Clock,
        record: ClockRecord,
        problems: Problems,
        since: float | None,
        database_time: Callable[[], float | None] = lambda: None,
    ) -> None:
        """Go on from what was kept. Without it, only a time ``since`` then, in epoch seconds, is certainly over.

        ``database_time`` returns the time by the clock of the database, if it has one of its own; raises KmsError.
        """
        self._database_time = database_time
        self._database: DatabaseTime | None = None
        self._reported_difference = 0.0
        self._clock = clock
        self._record = record
        self._problems = problems
        reading = reading_of(clock)
        kept = record.read()
        self._known = first(reading, since) if kept is None else observed(kept, reading)
        self._saved: TrustedTime | None = None
        self._reported: tuple[Doubt | None, Reading] | None = None
        self._checked_at: float | None = None
        """The uptime at which dates were last found to be right, since the last doubt."""
        self._ask_database()

    @property
    def difference(self) -> float:
        """How many seconds the wall clock was ahead of the trusted time when the clocks were read last."""
        return self._known.difference

    @property
    def database_difference(self) -> float:
        """How many seconds the wall clock is ahead of the database's, which has answered last; 0 if it has none."""
        database = self._database
        return 0.0 if database is None else database.difference(self._clock.now(), self._clock.uptime())

    @property
    def doubtful(self) -> bool:
        """Whether the wall clock is in doubt, or not confirmed yet."""
        return not self._known.confirmed or self._known.doubt() is not None

    def observe(self, *, report: bool) -> None:
        """Read the clocks; ``report`` what an operator must know of them, which one process of a node does."""
        self._ask_database()
        known = observed(self._known, reading_of(self._clock))
        acceptance = self._record.acceptance()
        if acceptance is not None:
            known = accepted(before := known, acceptance)
            if report and known.trusted != before.trusted:
                logger.warning("the clock was accepted as it is, %s of the time before", _shown(before.difference))
        self._known = known
        if self.doubtful:
            # Dates that were written meanwhile may be wrong.
            self._checked_at = None
        if report:
            self._report(known.doubt(), known)
            self._report_database()

    def moment(self) -> Moment:
        """Return the two bounds of the present time."""
        known, wall, uptime = self._known, self._clock.now(), self._clock.uptime()
        unsure_since = inf if known.unsure_since is None else known.unsure_since
        earliest, latest = known.earliest(wall, uptime), known.latest(wall, uptime)
        if (database := self._database) is not None:
            earliest, latest = min(earliest, database.earliest(uptime)), max(latest, database.latest(uptime))
        return Moment(earliest, latest, unsure_since)

    def latest(self, now: float) -> float:
        """Return the latest that it can be while the wall clock shows ``now``: waiting periods begin then."""
        uptime, database = self._clock.uptime(), self._database
        known = self._known.latest(now, uptime)
        return known if database is None else max(known, database.latest(uptime))

    @property
    def unchecked(self) -> bool:
        """Whether there may be dates that were written with a wrong clock, and can be repaired now."""
        if self._known.unsure_since is not None:
            return True
        # At times also without doubt: a call may have come while the clock was wrong between two rounds.
        checked_at, uptime = self._checked_at, self._known.reading.uptime
        return not self.doubtful and (checked_at is None or uptime - checked_at >= _CHECKED_EVERY)

    def checked(self) -> None:
        """Note that such dates have been repaired."""
        self._checked_at = None if self.doubtful else self._known.reading.uptime
        self._known = without_unsure(self._known)

    def save(self, *, stopping: bool = False) -> None:
        """Keep what is known if it is news, or a minute old, or the server is ``stopping``; raises OSError."""
        known, saved = self._known, self._saved
        if saved is None or stopping or _is_news(known, saved):
            self._record.write(known)
            self._saved = known

    def _ask_database(self) -> None:
        """Learn the time of the database. What is known of it stays so if it does not answer."""
        asked = self._clock.uptime()
        try:
            found = self._database_time()
        except KmsError:
            # The store has said why.
            return
        if found is not None:
            self._database = DatabaseTime(found, asked, self._clock.uptime())

    def _report_database(self) -> None:
        difference = self.database_difference
        if abs(difference) < STEP:
            self._problems.resolve(Subject.DATABASE_CLOCK)
        elif not self._reported_difference or abs(difference - self._reported_difference) >= STEP:
            self._problems.report(Subject.DATABASE_CLOCK, describe_database_clock(difference))
        else:
            return
        self._reported_difference = difference if abs(difference) >= STEP else 0.0

    def _report(self, doubt: Doubt | None, known: TrustedTime) -> None:
        if (doubt, known.agreeing) == self._reported:
            return
        self._reported = (doubt, known.agreeing)
        if doubt is None:
            self._problems.resolve(Subject.CLOCK)
        else:
            self._problems.report(Subject.CLOCK, describe(doubt, known.difference))


def reading_of(clock: Clock) -> Reading:
    """Read both clocks."""
    return Reading(clock.now(), clock.uptime(), clock.boot())


def describe(doubt: Doubt, difference: float) -> str:
    """Return a doubt in words for an operator, with the difference in seconds."""
    return _TEXTS[doubt].format(_shown(difference))


def _is_news(known: TrustedTime, saved: TrustedTime) -> bool:
    if known.reading.uptime - saved.reading.uptime >= _SAVED_EVERY:
        return True
    return _lasting(known) != _lasting(saved)


def _lasting(known: TrustedTime) -> tuple[object, ...]:
    """Return what does not change while the clocks run evenly."""
    return known.agreeing, known.confirmed, known.accepted, known.unsure_since


def describe_database_clock(difference: float) -> str:
    """Return what it means that the wall clock is so many seconds ahead of the database's, and what to do."""
    return _OTHER_CLOCK.format(_beside(difference))


def _beside(difference: float) -> str:
    """Return a difference as ``_shown`` does, to be followed by what it is a difference to."""
    return f"{_shown(difference)} of" if difference >= 0 else _shown(difference)


def _shown(difference: float) -> str:
    """Return a difference for people, such as ``31.0 days ahead``."""
    amount, side = abs(difference), "ahead" if difference >= 0 else "behind"
    for unit, name in ((DAY, "days"), (_HOUR, "hours"), (_MINUTE, "minutes")):
        if amount >= unit:
            return f"{amount / unit:.1f} {name} {side}"
    return f"{amount:.1f} seconds {side}"
