"""Finds who made some calls, by the ids of their records in the audit log."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from strongroom.audit.chain import name_time
from strongroom.audit.search import read_record
from strongroom.store.audit.segment_reader import lines_of
from strongroom.store.audit.segments import Segment, copies_of_segments, fullest_first

_SLACK = 3600.0
"""Seconds by which a record may be older than its segment seems to be: calls take time, and clocks are set back."""
_ID = b'"eventID":"'
_ID_SIZE = 36


def callers_of(folders: Sequence[Path], events: Mapping[bytes, float]) -> dict[bytes, str]:
    """Return the callers of events by the ids of these. ``events`` has their times, in epoch seconds, by their ids.

    Only files are read that may have one of them. Events that are not in the folders are left out. Raises
    UnreadableSegmentError.
    """
    times = sorted(events.values())
    found = dict[bytes, str]()
    principals = dict[str, str]()
    for segment in _segments_around(folders, times):
        for line in lines_of(segment.path):
            if not any(event in events for event in _ids_in(line)):
                continue
            record = read_record(line)
            if record is not None and (event := record.event_id.encode()) in events:
                # Few principals make many calls.
                found[event] = principals.setdefault(record.principal, record.principal)
    return found


def _segments_around(folders: Sequence[Path], times: Sequence[float]) -> Iterator[Segment]:
    """Yield the segments whose records may be of one of some times, which are sorted."""
    if not times:
        return
    earliest = [name_time(time + _SLACK) for time in times]
    latest = [name_time(time - _SLACK) for time in times]
    for _, chain in groupby((copies[0] for copies in fullest_first(copies_of_segments(folders))), attrgetter("writer")):
        segments = list(chain)
        for number, segment in enumerate(segments):
            end = segments[number + 1].begun if number + 1 < len(segments) else ""
            # The first time that is not before the segment, with slack on both sides.
            place = bisect_left(earliest, segment.begun)
            if place < len(times) and (not end or latest[place] <= end or end < segment.begun):
                yield segment


def _ids_in(line: bytes) -> Iterator[bytes]:
    """Yield what may be the id of the event that a line records. Callers can choose other text that looks like one."""
    end = 0
    while (begin := line.find(_ID, end)) >= 0:
        end = begin + len(_ID)
        yield line[end : end + _ID_SIZE]
