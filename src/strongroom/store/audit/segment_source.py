"""Reads the audit log on disk piece by piece, also while its writers write: to ship it, and to watch it.

Only lines that a flush has finished are read: those up to the number that the writer has noted
(``store.audit.end_file``). A flush that fails cuts off what it has written, and other lines come in their place. A
segment with a successor is complete, so all of it can be read.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import msgspec

from strongroom.audit.chain import claim_of, parse_name
from strongroom.store.audit.end_file import read_end
from strongroom.store.audit.segments import Segment, segments_of
from strongroom.whole_files import open_regular

_TIME = re.compile(rb'"(?:eventTime|time)":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"')
_UNCHANGED = 2.0
"""The time of a folder's last change, in seconds, is coarse. After that long it cannot change again unseen."""
_SETTLED = 60.0
"""After so many seconds, a file whose writer has noted no end is taken to be as it is."""
_LONGEST = 64 << 20
"""No line has more bytes than this; a longer one is not waited for."""


class Place(msgspec.Struct, frozen=True):
    """How far one writer's chain has been read: a segment, and an offset in it in bytes.

    ``sequence`` and ``digest`` are what the last line before the offset states; 0 and empty before the first line.
    ``complete`` tells that the whole segment has been read.
    """

    segment: str
    offset: int
    sequence: int = 0
    digest: str = ""
    complete: bool = False


class Piece(msgspec.Struct, frozen=True):
    """Whole lines of one segment, ``data``, which begin at ``offset``; ``after`` is the place behind them.

    ``path`` is the segment itself. If ``after`` is complete, no line of the segment comes later. A reader that
    takes complete segments as a whole gets them without data.
    """

    path: Path
    writer: str
    offset: int
    data: bytes
    after: Place

    @property
    def segment(self) -> str:
        """The name of the segment."""
        return self.after.segment


class CutSegment(msgspec.Struct, frozen=True):
    """A segment that has fewer bytes than were read: the machine has failed before they were on disk."""

    segment: str
    size: int
    after: Place


class Source:
    """The segments in the folder of the audit log. One thread at a time uses it. ``now`` returns epoch seconds."""

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        self._folder = folder
        self._now = now
        self._chains: dict[str, list[Segment]] = {}
        self._changed = -1.0

    def chains(self) -> dict[str, list[Segment]]:
        """Return the segments of each writer, in the order of its chain; raises OSError."""
        try:
            changed = self._folder.stat().st_mtime
        except FileNotFoundError:
            return {}
        if changed != self._changed or abs(self._now() - changed) < _UNCHANGED:
            found = groupby(segments_of(self._folder), attrgetter("writer"))
            self._chains = {writer: list(chain) for writer, chain in found}
            self._changed = changed
        return self._chains

    def next(self, writer: str, place: Place | None, limit: int, *, whole: bool = False) -> Piece | CutSegment | None:
        """Return what comes after a place, about ``limit`` bytes of it; None if there is nothing.

        If the machine has lost the end of what comes before it in the same segment, that is returned first.

        With ``whole``, a complete segment comes without its data. Raises OSError.
        """
        chain = self.chains().get(writer, ())
        cut = None if place is None else _cut_before(chain, place)
        if cut is not None:
            return cut
        found = _following(chain, place)
        if found is None:
            return None
        segment, is_complete = found
        begun = place if place is not None and place.segment == segment.name else Place(segment.name, 0)
        # Read before the file, which may grow meanwhile.
        last = None if is_complete else self._last_line(segment)
        if last is not None and last <= begun.sequence:
            return None
        size = segment.path.stat().st_size
        if is_complete and whole:
            data, after = b"", _place_at(segment, size, complete=True)
            return Piece(segment.path, writer, begun.offset, data, after)
        data = _read(segment.path, begun.offset, limit)
        at_end = begun.offset + len(data) >= size
        if not (is_complete and at_end):
            data = data[: data.rfind(b"\n") + 1]
        if last is not None:
            data = _up_to(data, last)
        completes = is_complete and begun.offset + len(data) >= size
        if not data and not completes:
            return None
        return Piece(segment.path, writer, begun.offset, data, _after(begun, data, complete=completes))

    def waiting(self, writer: str, place: Place | None) -> int:
        """Return about how many bytes of a writer's chain come after a place; raises OSError."""
        chain = self.chains().get(writer, ())
        found = _following(chain, place)
        if found is None:
            return 0
        rest = chain[chain.index(found[0]) :]
        done = place.offset if place is not None and place.segment == found[0].name else 0
        return max(0, sum(each.path.stat().st_size for each in rest) - done)

    def end(self, writer: str) -> Place | None:
        """Return the place at the end of a writer's chain as it is now; None if it has none. Raises OSError."""
        chain = self.chains().get(writer, ())
        return _place_at(chain[-1], chain[-1].path.stat().st_size, complete=False) if chain else None

    def last_line(self, writer: str) -> int:
        """Return the number of the last line of a writer's chain that can be read; 0 if it is not known."""
        end = read_end(self._folder, writer)
        return 0 if end is None else end.sequence

    def _last_line(self, segment: Segment) -> int | None:
        end = read_end(self._folder, segment.writer)
        if end is not None:
            return end.sequence
        return None if self._now() - segment.path.stat().st_mtime > _SETTLED else 0


def time_of(piece: Piece) -> float | None:
    """Return when the first line of a piece was written, in epoch seconds; None if no line says so."""
    found = _TIME.search(piece.data)
    name = parse_name(piece.segment)
    text = found[1].decode() if found is not None else "" if name is None else name.begun
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def comes_after(segment: Segment, place: Place) -> bool:
    """Tell whether a segment was begun after a place in another one.

    Where the machine has failed, its number does not show that: it can be that of a line which was lost.
    """
    name = parse_name(place.segment)
    return segment.first > place.sequence or (name is not None and segment.begun > name.begun)


def _cut_before(chain: Sequence[Segment], place: Place) -> CutSegment | None:
    """Return what the segment of a place has lost of what was read of it; None if it is all there, or was archived."""
    current = next((each for each in chain if each.name == place.segment), None)
    try:
        size = place.offset if current is None else current.path.stat().st_size
    except FileNotFoundError:
        return None  # It was archived meanwhile.
    if current is None or size >= place.offset:
        return None
    return CutSegment(current.name, size, _place_at(current, size, complete=False))


def _following(chain: Sequence[Segment], place: Place | None) -> tuple[Segment, bool] | None:
    """Return the segment to read from, and whether it is complete; None if there is none."""
    if not chain:
        return None
    index = 0
    if place is not None:
        names = [each.name for each in chain]
        if place.segment in names:
            index = names.index(place.segment) + place.complete
        else:
            # It was archived, or a crash of the machine has left nothing of it. What comes after it was begun later.
            index = next((i for i, each in enumerate(chain) if comes_after(each, place)), len(chain))
    if index >= len(chain):
        return None
    return chain[index], index + 1 < len(chain)


def _read(path: Path, offset: int, limit: int) -> bytes:
    """Return bytes of a file from an offset on: at least one whole line, if there is one."""
    with open_regular(path) as file:
        file.seek(offset)
        data = file.read(limit)
        while b"\n" not in data and len(data) < _LONGEST and (more := file.read(limit)):
            data += more
    return data


def _up_to(data: bytes, last: int) -> bytes:
    """Cut off the lines that come after a number. A line that states none stays."""
    while data:
        start = data.rfind(b"\n", 0, len(data) - 1) + 1
        claim = claim_of(data[start:-1])
        if claim is None or claim.sequence <= last:
            break
        data = data[:start]
    return data


def _after(begun: Place, data: bytes, *, complete: bool) -> Place:
    sequence, digest = begun.sequence, begun.digest
    start = data.rfind(b"\n", 0, max(0, len(data) - 1)) + 1
    claim = claim_of(data[start:].removesuffix(b"\n")) if data else None
    if claim is not None:
        sequence, digest = claim.sequence, claim.digest.decode()
    return Place(begun.segment, begun.offset + len(data), sequence, digest, complete)


def _place_at(segment: Segment, size: int, *, complete: bool) -> Place:
    """Return the place at the end of a segment's first ``size`` bytes."""
    begin = max(0, size - 4096)
    with open_regular(segment.path) as file:
        file.seek(begin)
        found = _after(Place(segment.name, begin), file.read(size - begin), complete=complete)
    return msgspec.structs.replace(found, offset=size)
