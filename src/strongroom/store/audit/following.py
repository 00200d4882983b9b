"""Follows an audit log while it is written: the records that are added to its segments after a moment."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from strongroom.audit.search import Query, SearchedRecord, read_record
from strongroom.store.audit.segments import COMPRESSED, copies_of_segments, fullest_first

_BLOCK = 1 << 20


class Follower:
    """The records that match a query and are added to the segments in some folders from its making on."""

    def __init__(self, folders: Sequence[Path], query: Query) -> None:
        self._folders = folders
        self._query = query
        self._read = {name: _size_in_lines(path) for name, path in self._segments()}

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many bytes of each segment, by its name, were read before: whole lines only."""
        return self._read

    def added(self) -> list[tuple[SearchedRecord, bytes]]:
        """Return what was added since the last time, by the time of the calls, with the lines."""
        found = [each for name, path in self._segments() for each in self._added_to(name, path)]
        return sorted(found, key=lambda each: each[0].event_time)

    def _segments(self) -> Iterator[tuple[str, Path]]:
        for copies in fullest_first(copies_of_segments(self._folders)):
            yield copies[0].name, copies[0].path

    def _added_to(self, name: str, path: Path) -> Iterator[tuple[SearchedRecord, bytes]]:
        begin = self._read.get(name, 0)
        if path.suffix == COMPRESSED:
            # It was complete before it was archived.
            return
        try:
            with path.open("rb") as file:
                file.seek(begin)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    begin += len(line)
                    record = read_record(line)
                    if record is not None and self._query.matches(record):
                        yield record, line.rstrip()
        except FileNotFoundError:
            return  # It was archived meanwhile.
        finally:
            self._read[name] = begin


def _size_in_lines(path: Path) -> int:
    """Return the size of a segment without an unfinished line at its end; of a compressed one, all of it."""
    if path.suffix == COMPRESSED:
        return sys.maxsize
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                begin = max(0, end - _BLOCK)
                found = os.pread(file.fileno(), end - begin, begin).rfind(b"\n")
                if found >= 0:
                    return begin + found + 1
                end = begin
    except FileNotFoundError:
        pass
    return 0
