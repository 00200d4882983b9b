"""Keeps what is wrong with the database: each fault is counted, and reported once until it has ended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

import msgspec

from strongroom.errors import WriteOutcomeUnknown
from strongroom.problems import Problems, Subject
from strongroom.store.counters import StoreCounters
from strongroom.store.faults import COUNTED_ONLY, LASTING, FaultKind, StoreFault

_QUIET_WRITES = 4.0
"""A fault of writing has ended when a write was tried and has succeeded, and it was not met for so many seconds."""
_QUIET_READS = 60.0
"""The same for reading. Nothing but the same read can tell whether such a fault has ended."""
_QUIET_ROWS = 600.0
_SAY_AGAIN = 60.0
"""How often, in seconds, another reason of an open fault is told. Each is logged, and they may take turns."""

_Place = tuple[FaultKind, bool, str]


class _Open(msgspec.Struct):
    """An open fault: why it was met, what the operator was told and when, and when it was met last."""

    reason: str
    text: str
    told: float
    seen: float


class FaultWatch:
    """The open faults of one database, named ``database`` in reports. Safe to use from several threads.

    ``timer`` counts seconds.
    """

    def __init__(self, database: str, problems: Problems, counters: StoreCounters, timer: Callable[[], float]) -> None:
        self._database = database
        self._problems = problems
        self._counters = counters
        self._timer = timer
        self._open: dict[_Place, _Open] = {}
        self._written = float("-inf")
        self._lock = Lock()

    def note(self, fault: StoreFault) -> None:
        """Count a fault, and report it, unless it is open already for the same reason."""
        with self._lock:
            self._counters.count_fault(fault.kind)
            if fault.kind in COUNTED_ONLY:
                return
            place = _place_of(fault)
            now = self._timer()
            known = self._open.get(place)
            if known is not None and (known.reason == fault.reason or now - known.told < _SAY_AGAIN):
                known.seen = now
                return
            self._open[place] = _Open(fault.reason, fault.explain(self._database), now, now)
            self._report()

    @contextmanager
    def typed(
        self, fault_met: Callable[[Exception], StoreFault | None], where: str, check: Callable[[], None]
    ) -> Iterator[None]:
        """Turn faults of the database ``where`` into StoreUnavailable or StoreDamaged; note each of them.

        Those of other writers, conflicts and what they rolled back, stay as they are, and so does what is no fault, for
        which ``fault_met`` returns None. ``check`` is called to have damage looked for.
        """
        try:
            yield
        except Exception as error:
            fault = fault_met(error)
            if fault is None:
                raise
            self.note(fault)
            if self.has_damage():
                check()
            if fault.kind in COUNTED_ONLY:
                raise
            if isinstance(error, WriteOutcomeUnknown):
                unknown = WriteOutcomeUnknown(f"{fault.message} Whether the change was made is not known.")
                unknown.explanation = fault.explain(where)
                raise unknown from error
            raise fault.error(where) from error

    def wrote(self) -> None:
        """Take note that a write was tried and has succeeded."""
        self._written = self._timer()

    def has_open_writes(self) -> bool:
        """Tell whether writes have failed and were not seen to succeed again."""
        return any(writing for kind, writing, _ in [*self._open] if kind not in LASTING)

    def has_damage(self) -> bool:
        """Tell whether a fault is open that only a check of the database can end."""
        return any(kind in LASTING for kind, _, _ in [*self._open])

    def found_whole(self, since: float) -> None:
        """End the faults that were last met before ``since``, when a check began that found nothing wrong."""
        self._end(lambda place, seen: place[0] in LASTING and seen < since)

    def settle(self) -> None:
        """End the faults that were not met again for a while; those of writing only after one has succeeded."""
        now = self._timer()
        self._end(lambda place, seen: now - seen > _quiet(place) and (not place[1] or self._written > seen))

    def _end(self, is_over: Callable[[_Place, float], bool]) -> None:
        with self._lock:
            ended = [place for place, met in self._open.items() if is_over(place, met.seen)]
            for place in ended:
                del self._open[place]
            if ended:
                self._report()

    def _report(self) -> None:
        if self._open:
            self._problems.report(Subject.STORE, "; ".join(sorted({each.text for each in self._open.values()})))
        else:
            self._problems.resolve(Subject.STORE)


def _place_of(fault: StoreFault) -> _Place:
    """Return what makes two faults the same: what fails for one write fails for all, but not so for reads."""
    return fault.kind, fault.writing, "" if fault.writing and fault.kind not in LASTING else fault.place


def _quiet(place: _Place) -> float:
    kind, writing, _ = place
    if kind in LASTING or kind is FaultKind.MOVED:
        return float("inf")
    if kind in {FaultKind.ROW, FaultKind.EMPTIED}:
        return _QUIET_ROWS
    return _QUIET_WRITES if writing else _QUIET_READS
