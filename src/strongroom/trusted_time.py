"""What time it is for what cannot be undone: two bounds, of which neither believes a wall clock that was set.

The kernel counts the seconds since the machine started, and that count cannot be set. So while the machine runs, and
across restarts of the server, it is known how much time has passed, and a wall clock that says something else has been
set. Whether it was wrong before, or is wrong now, is not known. So there are two times: ``earliest``, by which keys
are deleted, rotated and erased, and ``latest``, from which waiting periods are counted.

``TrustedTime`` is what is known at one moment; ``observed`` returns what is known at the next. The rules:

- *Elapsed time.* The trusted time goes on with the uptime. A difference of up to an hour is made up for at 500 parts
  per million, the most by which the kernel corrects a clock that drifts (adjtimex(2)).
- *A step* of the wall clock is not followed. The trusted time goes on as before until the clock has come back, or an
  operator accepts it.
- *A start of the machine* begins a new count, and how long the machine was off is not known. The trusted time goes on
  from where it was; once the wall clock and the uptime have agreed for ten minutes, it is set to the wall clock. But if
  the wall clock had been set before the start and has not come back, the same difference is kept. Until then the latest
  time is not known: if the clock turns out to have been behind, waiting periods that began meanwhile begin anew.

Where nodes share a database that has a clock of its own, ``DatabaseTime`` is a second opinion in both directions:
nothing is due before it is by both clocks, and a waiting period begins at the later time of the two.

Pure: times come in as arguments, in seconds.
"""

from enum import StrEnum
from math import inf

import msgspec
from msgspec.structs import replace

STEP = 60.0
"""By how much the wall clock may differ before it is said to have been set."""

SETTLING = 600.0
"""How long wall clock and uptime must agree: after a start of the machine, and after the wall clock has come back."""

REPORTED = 3600.0
"""A difference that stays and is not larger than this is of no concern: what is due is done so much later."""

_RATE = 500e-6


class Reading(msgspec.Struct, frozen=True):
    """Both clocks at one moment: seconds since the Unix epoch, and ``uptime`` since the ``boot`` of that name."""

    wall: float
    uptime: float
    boot: str


class Moment(msgspec.Struct, frozen=True):
    """The present time as two bounds: what is due by ``earliest`` is due; a waiting period begins at ``latest``.

    Those that began since ``unsure_since`` begin anew, because the clock was behind then.
    """

    earliest: float
    latest: float
    unsure_since: float = inf


class DatabaseTime(msgspec.Struct, frozen=True):
    """The time of the database, which has a clock of its own: ``time`` at some moment between two readings of uptime.

    It goes on by the uptime. So it stays known while the database does not answer, and follows no step of its clock
    before the next answer.
    """

    time: float
    asked: float
    answered: float

    def earliest(self, uptime: float) -> float:
        """Return a time that is certainly over by that clock."""
        return self.time + max(0.0, uptime - self.answered)

    def latest(self, uptime: float) -> float:
        """Return the latest that it can be by that clock."""
        return self.time + max(0.0, uptime - self.asked)

    def difference(self, wall: float, uptime: float) -> float:
        """Return how far a wall clock is certainly ahead of that clock, negative if it is behind."""
        if wall > self.latest(uptime):
            return wall - self.latest(uptime)
        return min(0.0, wall - self.earliest(uptime))


class Doubt(StrEnum):
    """Why the wall clock is in doubt."""

    STARTED = "started"
    """The machine has started, and says that much time has passed, or that it goes back."""
    STEPPED = "stepped"
    """The wall clock was set, and has not come back."""
    RETURNED = "returned"
    """The wall clock had been set, and agrees again, but not yet for ten minutes."""


class TrustedTime(msgspec.Struct, frozen=True, kw_only=True):
    """What is known at one moment, at which the clocks showed ``reading``.

    ``trusted`` is the trusted time. ``wall_before`` is the time that the wall clock of the last start would show now if
    the machine had not been off; the same as ``trusted`` if it had not been set. ``began`` is the latest that it can
    have been when the machine started. ``confirmed`` tells whether the wall clock was confirmed since; ``interrupted``,
    whether it was not confirmed after the start before this one either. The clocks agree since the moment ``agreeing``;
    ``stepped`` tells whether the wall clock was set then. ``accepted`` is the uptime at which an operator accepted the
    wall clock last. Waiting periods that began since ``unsure_since`` are too short.
    """

    reading: Reading
    trusted: float
    wall_before: float
    began: float
    agreeing: Reading
    confirmed: bool = False
    interrupted: bool = False
    stepped: bool = False
    accepted: float = -1.0
    unsure_since: float | None = None

    @property
    def difference(self) -> float:
        """How far the wall clock was ahead of the trusted time."""
        return self.reading.wall - self.trusted

    def earliest(self, wall: float, uptime: float) -> float:
        """Return a time that is certainly over, in the same start of the machine."""
        return min(wall, self._at(uptime))

    def latest(self, wall: float, uptime: float) -> float:
        """Return the latest that it can be, as far as is known, in the same start of the machine."""
        known = self._at(uptime)
        if self.confirmed:
            return max(wall, known)
        return max(wall, known, known + self.wall_before - self.trusted)

    def doubt(self) -> Doubt | None:
        """Tell why an operator should look at the clock; None if all is well."""
        difference = self.difference
        if not self.confirmed:
            return Doubt.STARTED if self.stepped or not -STEP <= difference <= REPORTED else None
        if not self.stepped:
            return Doubt.STEPPED if abs(difference) > REPORTED else None
        return Doubt.RETURNED if abs(difference) <= STEP else Doubt.STEPPED

    def _at(self, uptime: float) -> float:
        return self.trusted + max(0.0, uptime - self.reading.uptime)


def first(reading: Reading, since: float | None) -> TrustedTime:
    """Return what is known if nothing was kept, or only a time ``since`` then that was certainly over by now."""
    trusted = reading.wall if since is None else since
    return TrustedTime(reading=reading, trusted=trusted, wall_before=trusted, began=trusted, agreeing=reading)


def observed(known: TrustedTime, reading: Reading) -> TrustedTime:
    """Return what is known at a later reading."""
    before = known.reading
    if not reading.boot or reading.boot != before.boot or reading.uptime < before.uptime:
        return _after_start(known, reading)
    elapsed = reading.uptime - before.uptime
    known = replace(known, reading=reading, trusted=known.trusted + elapsed, wall_before=known.wall_before + elapsed)
    known = _with_agreement(known)
    if known.confirmed and abs(known.difference) <= REPORTED:
        known = replace(known, trusted=known.trusted + _limited(known.difference, elapsed * _RATE))
    return _settled(known) if reading.uptime - known.agreeing.uptime >= SETTLING else known


def accepted(known: TrustedTime, acceptance: Reading) -> TrustedTime:
    """Return what is known once an operator has accepted the wall clock as it was at a reading, ``acceptance``.

    It counts once. It does not count if the machine has started since, or if the wall clock was set since.
    """
    reading = known.reading
    if acceptance.boot != reading.boot or not known.accepted < acceptance.uptime <= reading.uptime:
        return known
    known = replace(known, accepted=acceptance.uptime)
    if not _agree(acceptance, reading):
        return known
    return _confirmed(known, reading.wall)


def without_unsure(known: TrustedTime) -> TrustedTime:
    """Return what is known once the waiting periods that were too short have begun anew."""
    return replace(known, unsure_since=None)


def _after_start(known: TrustedTime, reading: Reading) -> TrustedTime:
    """Return what is known at the first reading after a start of the machine."""
    before = known.reading
    return TrustedTime(
        reading=reading,
        trusted=known.trusted,
        # In a start that was not confirmed either, the clock before that one still counts.
        wall_before=before.wall if known.confirmed else known.wall_before,
        began=known.latest(before.wall, before.uptime) if known.confirmed else known.began,
        agreeing=reading,
        interrupted=not known.confirmed,
        unsure_since=known.unsure_since,
    )


def _with_agreement(known: TrustedTime) -> TrustedTime:
    """Notice a step of the wall clock."""
    if _agree(known.agreeing, known.reading):
        return known
    return replace(known, agreeing=known.reading, stepped=True)


def _agree(earlier: Reading, later: Reading) -> bool:
    elapsed = later.uptime - earlier.uptime
    return abs(later.wall - earlier.wall - elapsed) <= STEP + elapsed * _RATE


def _settled(known: TrustedTime) -> TrustedTime:
    """Return what is known once the clocks have agreed for ten minutes."""
    if known.confirmed:
        return replace(known, stepped=False)
    return _confirmed(known, known.reading.wall - _kept_difference(known))


def _confirmed(known: TrustedTime, trusted: float) -> TrustedTime:
    """Return what is known once it is confirmed what time it is."""
    unsure_since = known.unsure_since
    was_behind = trusted > known.latest(known.reading.wall, known.reading.uptime) + STEP
    if not known.confirmed and unsure_since is None and (known.stepped or known.interrupted or was_behind):
        unsure_since = known.began
    return replace(
        known, trusted=trusted, wall_before=trusted, confirmed=True, stepped=False, unsure_since=unsure_since
    )


def _kept_difference(known: TrustedTime) -> float:
    """Return by how much the wall clock still is as wrong as before the machine started; 0 if it has come back.

    A clock that was ahead and is not behind that time has not come back; one that was behind has, once it has reached
    the trusted time.
    """
    wall, difference = known.reading.wall, known.wall_before - known.trusted
    ahead = difference > STEP and wall >= known.wall_before - STEP
    behind = difference < -STEP and wall < known.trusted - STEP
    return difference if ahead or behind else 0.0


def _limited(amount: float, limit: float) -> float:
    return max(-limit, min(limit, amount))
