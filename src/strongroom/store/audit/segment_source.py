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
_MOST_BEFORE = 8
"""A place knows so many segments before its own: more than were begun since the log was last brought to disk."""


class Place(msgspec.Struct, frozen=True):
    """How far one writer's chain has been read: a segment, and an offset in it in bytes.

    ``sequence`` and ``digest`` are what the last line before the offset states; 0 and empty before the first line.
    ``head`` is the hash that the first line of the segment states. ``complete`` tells that the whole of it has been
    read. ``before`` names the segments before it that were in the log then, the nearest last: no more than eight.
    """

    segment: str
    offset: int
    sequence: int = 0
    digest: str = ""
    head: str = ""
    complete: bool = False
    before: tuple[str, ...] = ()


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
    """A segment of which no more than ``size`` bytes are left: the machine has failed before the rest was on disk.

    The size is 0 if the segment is gone, and another one has its name.
    """

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
        begun = place if place is not None and place.segment == segment.name else beginning_of(segment, chain)
        # Read before the file, which may grow meanwhile.
        last = None if is_complete else self._last_line(segment)
        if last is not None and last <= begun.sequence:
            return None
        size = segment.path.stat().st_size
        if is_complete and whole:
            data, after = b"", _place_at(segment, size, begun, complete=True)
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
        if not chain:
            return None
        newest = chain[-1]
        return _place_at(newest, newest.path.stat().st_size, beginning_of(newest, chain), complete=False)

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


def beginning_of(segment: Segment, chain: Sequence[Segment]) -> Place:
    """Return the place before the first line of a segment in its chain."""
    names = [each.name for each in chain]
    before = names[: names.index(segment.name)][-_MOST_BEFORE:]
    return Place(segment.name, 0, segment.first - 1, before=tuple(before))


def first_line_of(piece: Piece, place: Place | None) -> int:
    """Return the number of the line with which a piece begins that comes after a place."""
    if place is not None and place.segment == piece.segment:
        return place.sequence + 1
    name = parse_name(piece.segment)
    return 1 if name is None else name.first


def comes_after(segment: Segment, place: Place) -> bool:
    """Tell whether a segment was begun after a place in another one.

    Its number need not show that, nor its time. Where the machine has failed, the number can be that of a line which
    was lost, and the clock can have been set back. But no other segments lay between those that the place knows.
    """
    known = (*place.before, place.segment)
    if segment.name in known:
        return False
    oldest, name = parse_name(known[0]), parse_name(place.segment)
    if segment.first > place.sequence or (oldest is not None and segment.first >= oldest.first):
        return True
    return name is not None and segment.begun > name.begun


def _cut_before(chain: Sequence[Segment], place: Place) -> CutSegment | None:
    """Return what the segment of a place has lost of what was read of it; None if it is all there, or was archived."""
    current = next((each for each in chain if each.name == place.segment), None)
    if current is None:
        return None
    try:
        size = current.path.stat().st_size
        head = _head_of(current)
        if head and place.head and head != place.head:
            # It was begun in the second in which the other one was begun, which is lost.
            return CutSegment(current.name, 0, beginning_of(current, chain))
        if size >= place.offset:
            return None
        return CutSegment(current.name, size, _place_at(current, size, place, complete=False))
    except FileNotFoundError:
        return None  # It was archived meanwhile.


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
    lines = data.removesuffix(b"\n")
    claim = claim_of(lines[lines.rfind(b"\n") + 1 :])
    read = msgspec.structs.replace(begun, offset=begun.offset + len(data), complete=complete)
    if not begun.offset:
        read = msgspec.structs.replace(read, head=_digest_in(lines.partition(b"\n")[0]))
    if claim is None:
        return read
    return msgspec.structs.replace(read, sequence=claim.sequence, digest=claim.digest.decode())


def _place_at(segment: Segment, size: int, known: Place, *, complete: bool) -> Place:
    """Return the place at the end of a segment's first ``size`` bytes; ``known`` is another place in it."""
    begin = max(0, size - 4096)
    with open_regular(segment.path) as file:
        file.seek(begin)
        known = Place(segment.name, begin, head=known.head or _head_of(segment), before=known.before)
        return _after(known, file.read(size - begin), complete=complete)


def _head_of(segment: Segment) -> str:
    with open_regular(segment.path) as file:
        return _digest_in(file.readline(_LONGEST).removesuffix(b"\n"))


def _digest_in(line: bytes) -> str:
    """Return the hash that a line states; empty if it states none."""
    claim = claim_of(line)
    return "" if claim is None else claim.digest.decode()
