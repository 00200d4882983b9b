"""Searches in the audit log of a data folder, the oldest record first."""

import heapq
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from itertools import groupby, pairwise
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

import msgspec

from strongroom.audit.chain import name_time
from strongroom.audit.search import Query, SearchedRecord, read_record
from strongroom.store.audit.segment_reader import lines_of, open_plain
from strongroom.store.audit.segments import COMPRESSED, Segment, copies_of_segments, fullest_first

_SET_BACK = 3600.0


class _Place(msgspec.Struct, frozen=True, order=True):
    """The place of a record in a file, in bytes.

    Places are ordered by the record's time, then by position in the file.
    """

    time: str
    segment: int
    begin: int
    end: int


class _MatchingSegment(msgspec.Struct, frozen=True):
    """A segment that has matching records. Its size was ``size`` bytes when it was searched."""

    oldest: str
    number: int
    path: Path
    size: int


def search_log(
    folders: Sequence[Path], query: Query, sizes: Mapping[str, int] | None = None
) -> Iterator[tuple[SearchedRecord, bytes]]:
    """Yield the records in some folders that match a query, with their lines, the oldest first.

    With ``sizes``, only so many bytes of each segment are read, by its name, and others are left out.

    The order is that of their times, in whole seconds: when a call began, by the clock at that moment. Calls that took
    long, or came after a clock was set back, are sorted by their times, also if other processes recorded them. Within
    one second, records come writer by writer, in the order of the log.

    All files are read once before the first record is yielded, to find which of them has the oldest record. Memory
    holds only the places of matching records, of those files whose times overlap at that moment.
    """
    segments = [
        segment
        for _, chain in groupby(
            (copies[0] for copies in fullest_first(copies_of_segments(folders))), attrgetter("writer")
        )
        for segment in _segments_since(list(chain), query.since)
    ]
    searched = [
        _search_segment(number, segment.path, query, None if sizes is None else sizes.get(segment.name, 0))
        for number, segment in enumerate(segments)
    ]
    ahead = sorted((found for found in searched if found is not None), key=attrgetter("oldest", "number"), reverse=True)
    merging = _Merging(query)
    with closing(merging):
        while ahead or merging.next_time is not None:
            while ahead and (merging.next_time is None or ahead[-1].oldest <= merging.next_time):
                merging.open(ahead.pop())
            line = merging.take()
            record = read_record(line)
            if record is not None:
                yield record, line.rstrip()


class _Merging:
    """A merge of the files that are open because their times overlap, with the places of their matching records."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._opened: dict[int, tuple[BinaryIO, Iterator[_Place]]] = {}
        self._heads: list[_Place] = []

    @property
    def next_time(self) -> str | None:
        """The time of the next record; None if no open file has another one."""
        return self._heads[0].time if self._heads else None

    def open(self, found: _MatchingSegment) -> None:
        file = open_plain(found.path)
        places = iter(sorted(_places(found.number, file, self._query, found.size)))
        self._opened[found.number] = file, places
        self._advance(found.number)

    def take(self) -> bytes:
        """Return the next record's line."""
        place = heapq.heappop(self._heads)
        line = os.pread(self._opened[place.segment][0].fileno(), place.end - place.begin, place.begin)
        self._advance(place.segment)
        return line

    def close(self) -> None:
        for file, _ in self._opened.values():
            file.close()

    def _advance(self, number: int) -> None:
        file, places = self._opened[number]
        place = next(places, None)
        if place is None:
            file.close()
            del self._opened[number]
        else:
            heapq.heappush(self._heads, place)


def _search_segment(number: int, path: Path, query: Query, most: int | None) -> _MatchingSegment | None:
    """Search one segment, ``most`` bytes of it if that is given; return None if no record matches."""
    if path.suffix == COMPRESSED:
        # It is complete, and it is unpacked only if something in it matches.
        size = sys.maxsize if most is None else most
        lines = (line + b"\n" for line in lines_of(path))
        oldest = min((place.time for place in _places(number, lines, query, size)), default=None)
        return None if oldest is None else _MatchingSegment(oldest, number, path, size)
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size if most is None else most
        oldest = min((place.time for place in _places(number, file, query, size)), default=None)
    return None if oldest is None else _MatchingSegment(oldest, number, path, size)


def _places(number: int, file: Iterable[bytes], query: Query, size: int) -> Iterator[_Place]:
    """Yield the places of matching records in the first ``size`` bytes of a file, in their order there."""
    begin = 0
    for line in file:
        end = begin + len(line)
        if end > size:
            return
        record = read_record(line)
        if record is not None and query.matches(record):
            yield _Place(record.event_time, number, begin, end)
        begin = end


def _segments_since(segments: list[Segment], since: str) -> list[Segment]:
    """Leave out segments whose successor was begun long before a time: all of their records are older.

    A call is recorded after it began, never before. If a clock was set back, the successor's time may be too early.
    That hides no record if it was by up to an hour, or by so much that the successor seems older than its predecessor.
    """
    if not since or not segments:
        return segments
    try:
        earliest = name_time(datetime.fromisoformat(since).timestamp() - _SET_BACK)
    except (ValueError, OverflowError):
        # The time is before the year 1: nothing is older.
        return segments
    return [each for each, after in pairwise(segments) if after.begun >= earliest or after.begun < each.begun] + [
        segments[-1]
    ]
