"""Copies complete segments to an archive, and removes those that are safe elsewhere. A kill at any moment loses none.

A copy gets its name only when it is on disk and was read back: it must be the same part of the same chain. Nothing is
removed here that the caller has not stated in the audit log before.
"""

import gzip
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast

from strongroom.audit.archive import DamagedSegmentError, StatedSegment, end_of, require_signed
from strongroom.audit.chain import Position, parse_name
from strongroom.audit.sink import AuditMark
from strongroom.store.audit.segment_reader import UnreadableSegmentError, chunks_of, lines_of
from strongroom.store.audit.segments import COMPRESSED, Segment, segments_of
from strongroom.whole_files import open_new, sync_path

_DRAFT = ".partial"


class ArchiveError(Exception):
    """A segment cannot be archived; the message says why and what to do."""


def complete_before(chain: Sequence[Segment], covered: int, mark: AuditMark, before: str) -> list[Segment]:
    """Return the oldest segments of a chain that are not needed any more.

    They must be complete since ``before`` (as names of segments have it), and end before the line ``covered``, which
    holds the newest checkpoint in the database: a start looks for that line. They must also lie before the ``mark`` up
    to which the uses of keys are saved: a start reads the log from there on.
    """
    name = parse_name(mark.segment)
    marked = 0 if name is None else name.first
    found = []
    for segment, after in pairwise(chain):
        if after.begun > before or after.first > covered or after.first > marked:
            break
        found.append(segment)
    return found


def make_folder(path: Path) -> None:
    """Make a folder and those above it, mode 0700, so that they stay after a power loss; raises OSError."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_path(folder.parent)


def is_same_folder(one: Path, other: Path) -> bool:
    """Tell whether two paths lead to the same folder, also over two mounts; raises OSError.

    Two mounts of a remote folder may have different device numbers. So a file is made in the one and looked for in the
    other.
    """
    if one.samefile(other):
        return True
    descriptor, name = tempfile.mkstemp(suffix=_DRAFT, prefix=".", dir=one)
    os.close(descriptor)
    made = Path(name)
    try:
        return (other / made.name).exists()
    finally:
        made.unlink()


def copy_segment(segment: Segment, to: Path, *, compress: bool, progress: Callable[[int], object]) -> Position:
    """Copy a segment into a folder, where it is on disk and verified when this returns; return the end of its chain.

    A copy that is there already is verified, and used. Raises OSError, DamagedSegmentError if the segment is not whole,
    ArchiveError if there is another file in the place of the copy, or the segment itself under another name.
    """
    end = end_of(segment.name, lines_of(segment.path))
    there = [path for path in (to / segment.name, to / (segment.name + COMPRESSED)) if path.exists()]
    if there:
        if there[0].samefile(segment.path):
            # Through a link, it would be verified against itself.
            raise ArchiveError(f"`{there[0]}` is `{segment.path}` itself, and no copy; remove that link")
        _require_copy(segment, there[0], end)
        # What has made it, such as cp(1), need not have synced it.
        sync_path(there[0])
        progress(segment.path.stat().st_size)
        return end
    target = to / (segment.name + COMPRESSED if compress else segment.name)
    draft = target.with_name(target.name + _DRAFT)
    draft.unlink(missing_ok=True)  # A run that was killed leaves one.
    try:
        with _new_file(draft, compress=compress) as file:
            for chunk in chunks_of(segment.path):
                file.write(chunk)
                progress(len(chunk))
        _require_copy(segment, draft, end, compressed=compress)
        draft.rename(target)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            # An error of write(2) names no file, such as that the disk is full.
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    return end


def require_covered(segment: Segment, verifies: Callable[[bytes, bytes], bool]) -> None:
    """Require that the audit key has signed what a segment holds; raises DamagedSegmentError.

    A statement says what an archived segment was, and is signed, too. An attacker who chains altered lines anew,
    without a checkpoint, must not get a signature that way. ``verifies(message, signature)`` is that of the audit key.
    """

    def rest() -> Iterator[Segment]:
        yield segment
        # Rarely needed: a segment that no crash has ended ends with a checkpoint.
        chain = (each for each in segments_of(segment.path.parent) if each.writer == segment.writer)
        yield from (each for each in chain if each.first > segment.first)

    require_signed(((each.name, lines_of(each.path)) for each in rest()), verifies)


def remove_files(paths: Sequence[Path]) -> None:
    """Remove files, so that they stay removed after a power loss; raises OSError."""
    for path in paths:
        path.unlink(missing_ok=True)
    for folder in {path.parent for path in paths}:
        sync_path(folder)


def stated(segment: Segment, end: Position, successor: Segment) -> StatedSegment:
    """Return what a statement says of a segment."""
    return StatedSegment(segment.name, end.sequence, end.digest.decode(), successor.begun)


@contextmanager
def _new_file(path: Path, *, compress: bool) -> Iterator[BinaryIO]:
    """Create a file, mode 0600, whose content is on disk when the body has ended."""
    with open_new(path) as file:
        if compress:
            # Without a name and a time in it, so that equal segments give equal files.
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as compressed:
                yield cast("BinaryIO", compressed)
        else:
            yield file
        file.flush()
        os.fsync(file.fileno())


def _require_copy(segment: Segment, path: Path, end: Position, *, compressed: bool | None = None) -> None:
    """Read a copy and compare it; raises ArchiveError. Its hash covers every byte of every line."""
    try:
        found = end_of(segment.name, lines_of(path, compressed=compressed))
    except (DamagedSegmentError, UnreadableSegmentError):
        found = None
    if found != end:
        raise ArchiveError(f"`{path}` is not a copy of `{segment.path}`; move it away, or choose another folder")
