"""Ships the chains of all writers to one destination, on a thread of its own, and goes on where it was.

A destination that fails is tried again after a while, and loses nothing: the files of the log are the queue. After a
crash, lines whose place was not saved yet are shipped again.
"""

import logging
import threading
from collections.abc import Callable

import msgspec

from strongroom.shipping.destination import Destination, DestinationError
from strongroom.shipping.progress import Progress, Status
from strongroom.store.audit.segment_source import (
    CutSegment,
    Piece,
    Place,
    Source,
    beginning_of,
    comes_after,
    first_line_of,
    time_of,
)

logger = logging.getLogger(__name__)

_PIECE = 1 << 20
_ENOUGH = 8 << 20
"""With so many bytes, a destination need not wait for its interval."""
_LOOK = 1.0
"""How often, in seconds, it is looked for new lines if no worker asks."""
_SAVE = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
_HANGS = 45.0
"""After so many seconds, a call that has not returned hangs."""


class Shipper:
    """Ships to one destination. ``run`` belongs to its thread; all else may be called from others.

    ``interval`` is how many seconds lines may wait. ``now`` returns epoch seconds, ``timer`` monotonic ones.
    ``note_progress`` is called after each piece that was taken, on this thread.
    """

    def __init__(  # noqa: PLR0913 - the parts of a shipper
        self,
        to: str,
        destination: Destination,
        source: Source,
        progress: Progress,
        *,
        interval: float,
        required: bool,
        now: Callable[[], float],
        timer: Callable[[], float],
        note_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self.to = to
        self.required = required
        self._destination = destination
        self._source = source
        self._progress = progress
        self.interval = interval
        self._now = now
        self._timer = timer
        self._note_progress = note_progress
        self._places = progress.load()
        self._saved_at = timer()
        self._unsaved = False
        self._shipped_at: dict[str, float] = {}
        self._prepared = False
        self._wanted = threading.Event()
        self._draining = False
        self._ended = False
        self._status = Status(to, required)
        self._busy_since: float | None = None
        self._oldest: dict[str, float] = {}
        """When the oldest line of each writer was written that is due and was not taken."""

    def run(self) -> None:
        """Ship until ``stop``; then, until everything is shipped or the destination fails."""
        pause = _FIRST_PAUSE
        while not self._ended:
            draining = self._draining
            try:
                moved = self._round(everything=draining or self._wanted.is_set())
            except Exception as error:  # noqa: BLE001 - whatever it is, this thread must go on
                self._fail(error)
                if draining:
                    break
                self._wait(pause, for_request=False)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            if self._status.failing:
                self._status = msgspec.structs.replace(self._status, failing="", since=0.0)
            pause = _FIRST_PAUSE
            if draining and not moved:
                break
            if not moved:
                self._wait(_LOOK)
        self._busy_since = None
        self._save()
        self._destination.close()
        self._ended = True

    def want(self) -> None:
        """Ship what there is now, without waiting for the interval."""
        self._wanted.set()

    def stop(self) -> None:
        """End once everything is shipped, or the destination fails."""
        self._draining = True
        self._wanted.set()

    def place(self, writer: str) -> Place | None:
        """Return how far a writer's chain has been taken."""
        return self._places.get(writer)

    def taken(self, writer: str, segment: str) -> int:
        """Return the number of the last line that was taken of the segment that a writer writes; 0 before the first.

        Where shipping has come to in another segment says nothing: when the machine has failed, lines that were taken
        may be gone from the log, although their file is as long as it was. Others, in a new segment, get their numbers.
        """
        place = self._places.get(writer)
        return place.sequence if place is not None and place.segment == segment else 0

    def status(self) -> Status:
        """Return how it is going now."""
        found, now = self._status, self._now()
        busy, oldest = self._busy_since, list(self._oldest.values())
        if busy is not None and self._timer() - busy > _HANGS and not found.failing:
            # Without the time that has passed: a problem is logged each time that its text changes.
            text = f"it has not answered for more than {_HANGS:.0f} seconds"
            found = msgspec.structs.replace(found, failing=text, since=now - (self._timer() - busy))
        return msgspec.structs.replace(found, lag=max(0.0, now - min(oldest)) if oldest else 0.0, at=now)

    def _round(self, *, everything: bool) -> bool:
        """Ship what is due of each writer; tell whether that was anything. Raises DestinationError, OSError."""
        if everything:
            # Before looking: what is asked for from now on may come too late for this round.
            self._wanted.clear()
        moved = False
        for writer in list(self._source.chains()):
            moved |= self._ship(writer, everything=everything)
        if self._unsaved and self._timer() - self._saved_at >= _SAVE:
            self._save()
        return moved

    def _ship(self, writer: str, *, everything: bool) -> bool:
        """Ship the next piece of a writer, if it is due; tell whether it was. Raises DestinationError, OSError."""
        found = self._next(writer)
        if found is None or (isinstance(found, Piece) and not (everything or self._is_due(found))):
            return False
        self._oldest.setdefault(writer, (time_of(found) if isinstance(found, Piece) else None) or self._now())
        if not self._prepared:
            self._prepare()
            # If the destination has lost something, this begins further back.
            found = self._next(writer)
        self._busy_since = self._timer()
        try:
            if isinstance(found, Piece):
                self._take(found)
            elif found is not None:
                self._cut(writer, found)
        finally:
            self._busy_since = None
        self._oldest.pop(writer, None)
        return True

    def _next(self, writer: str) -> Piece | CutSegment | None:
        whole = self._destination.takes_whole_segments
        return self._source.next(writer, self._places.get(writer), _PIECE, whole=whole)

    def _is_due(self, piece: Piece) -> bool:
        if piece.after.complete or self.interval <= _LOOK:
            return True
        waited = self._timer() - self._shipped_at.setdefault(piece.writer, self._timer())
        return waited >= self.interval or self._source.waiting(piece.writer, self.place(piece.writer)) >= _ENOUGH

    def _take(self, piece: Piece) -> None:
        self._destination.take(piece)
        lines = max(0, piece.after.sequence + 1 - first_line_of(piece, self._places.get(piece.writer)))
        self._places[piece.writer] = piece.after
        self._unsaved = True
        self._shipped_at[piece.writer] = self._timer()
        self._status = msgspec.structs.replace(
            self._status,
            lines=self._status.lines + lines,
            size=self._status.size + max(0, piece.after.offset - piece.offset),
            last_taken=self._now(),
        )
        self._note_progress()

    def _cut(self, writer: str, found: CutSegment) -> None:
        logger.warning(
            "the machine has lost the end of %s, which was shipped to %s; it is kept there beside the copy",
            found.segment,
            self.to,
        )
        self._destination.cut(found.segment, found.size)
        self._places[writer] = found.after
        self._unsaved = True

    def _prepare(self) -> None:
        """Make the destination ready, and find out what it has lost; raises DestinationError, OSError."""
        if self._prepared:
            return
        self._busy_since = self._timer()
        try:
            self._destination.prepare(shipped_before=bool(self._places))
            for writer in list(self._places):
                self._compare(writer)
        finally:
            self._busy_since = None
        if not self._places:
            # From now on, another folder in its place is noticed.
            self._save(always=True)
        self._prepared = True

    def _compare(self, writer: str) -> None:
        """Go back to the first segment of which the destination has less than was shipped to it."""
        place = self._places[writer]
        chain = self._source.chains().get(writer, ())
        is_here = any(each.name == place.segment for each in chain)
        for segment in chain:
            is_current = segment.name == place.segment
            if not is_current and (segment.first > place.sequence or (not is_here and comes_after(segment, place))):
                break
            shipped = place.offset if is_current else segment.path.stat().st_size
            there = self._destination.size_of(segment.name)
            if there is not None and there < shipped:
                logger.warning("%s has lost %s; it is shipped again from there on", self.to, segment.name)
                self._places[writer] = beginning_of(segment, chain)
                self._unsaved = True
                return
            if is_current:
                break

    def _fail(self, error: Exception) -> None:
        self._destination.close()
        self._prepared = False
        match error:
            case DestinationError():
                text = str(error)
            case OSError():
                text = f"the audit log cannot be read: {error}"
            case _:
                logger.error("shipping to %s has failed", self.to, exc_info=error)
                text = f"{type(error).__name__}: see the log"
        status = self._status
        since = status.since if status.failing else self._now()
        self._status = msgspec.structs.replace(status, failing=text, since=since, failures=status.failures + 1)

    def _save(self, *, always: bool = False) -> None:
        self._saved_at = self._timer()
        if not (self._unsaved or always):
            return
        try:
            self._progress.save(self._places)
        except OSError as error:
            # It only means that more is shipped again after a crash.
            logger.warning("how far the audit log was shipped to %s cannot be saved: %s", self.to, error)
            return
        self._unsaved = False

    def _wait(self, seconds: float, *, for_request: bool = True) -> None:
        end = self._timer() + seconds
        while not self._draining and (left := end - self._timer()) > 0:
            if self._wanted.wait(left) and for_request:
                return
            if self._wanted.is_set() and not for_request:
                # A request does not make a failed destination better.
                threading.Event().wait(min(left, 0.2))
