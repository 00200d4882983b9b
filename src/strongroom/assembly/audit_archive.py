"""Moves complete segments of the audit log to an archive and prunes archives, behind signed statements in the log.

Also while the server runs. The order is what makes a kill harmless: copies are on disk and verified before the
statement, and the statement is signed and on disk before anything is removed (ADR 19).
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import msgspec

from strongroom.assembly.command_trail import CommandTrail
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.node import require_node_id
from strongroom.audit.archive import DamagedSegmentError, StatedSegment, Statements, archive_event, prune_event
from strongroom.audit.sink import AuditMark
from strongroom.audit.writer_id import parse_writer
from strongroom.crypto.audit_key import AuditPublicKey
from strongroom.node_id import NodeId
from strongroom.store.audit.archiving import (
    ArchiveError,
    complete_before,
    copy_segment,
    is_same_folder,
    make_folder,
    remove_files,
    require_covered,
    stated,
)
from strongroom.store.audit.segment_reader import read_statements
from strongroom.store.audit.segments import Segment, copies_of_segments, segments_of
from strongroom.store.protocol import Readable, Store
from strongroom.store.records import AuditWriterRecord
from strongroom.whole_files import sync_path

_AT_ONCE = 100
"""The most segments of one statement. Commands that change something wait while they are copied."""


class Outcome(msgspec.Struct):
    """What was done: the number of segments, their size in the place they were removed from, and what was not done."""

    segments: int = 0
    size: int = 0
    problems: list[str] = msgspec.field(default_factory=list)


class AuditArchive:
    """The audit log of an opened data folder, and its archives."""

    def __init__(
        self,
        folder: DataFolder,
        store: Store,
        trail: CommandTrail,
        key: AuditPublicKey,
        owed: Callable[[Segment], str | None] = lambda _segment: None,
    ) -> None:
        """``owed`` returns a destination to which a segment was not shipped yet, None if there is none."""
        self._folder = folder
        self._store = store
        self._trail = trail
        self._key = key
        self._owed = owed

    def size_to_archive(self, before: str) -> int:
        """Return the size in bytes of all segments that can be archived now."""
        size = 0
        for segment, _ in self._due(before, ()):
            # Another command may archive it at this moment.
            with suppress(FileNotFoundError):
                size += segment.path.stat().st_size
        return size

    def archive(self, to: Path, before: str, *, compress: bool, progress: Callable[[int], object]) -> Outcome:
        """Move segments that are complete since ``before`` (as in names of segments) to a folder.

        Raises DataFolderError if the folder cannot be used, OSError if it cannot be written. A chain with a damaged
        segment is left as it is from there on; the outcome says so.
        """
        to = self._usable(to)
        make_folder(to)
        self._require_elsewhere(to)
        outcome, held_back = Outcome(), set[str]()
        while True:
            with self._trail.changing():
                batch = self._due(before, held_back)[:_AT_ONCE]
                if not batch:
                    return outcome
                done = list[tuple[Segment, StatedSegment]]()
                for segment, after in batch:
                    if segment.writer in held_back:
                        continue
                    if (owed := self._owed(segment)) is not None:
                        held_back.add(segment.writer)
                        outcome.problems.append(
                            f"`{segment.path}` was not shipped to {owed} yet; the chain of {segment.writer} was not "
                            "archived from there on"
                        )
                        continue
                    try:
                        require_covered(segment, self._key.verifies)
                        end = copy_segment(segment, to, compress=compress, progress=progress)
                    except (DamagedSegmentError, ArchiveError) as error:
                        held_back.add(segment.writer)
                        outcome.problems.append(
                            f"{error}; the chain of {segment.writer} was not archived from there on"
                        )
                        continue
                    done.append((segment, stated(segment, end, after)))
                sync_path(to)
                self._finish(to, done, outcome)

    def _finish(self, to: Path, done: Sequence[tuple[Segment, StatedSegment]], outcome: Outcome) -> None:
        """State which segments are in the archive, then remove them from the log."""
        known = self.statements()
        fresh = [each for _, each in done if str(to) not in known.folders.get(each.name, ())]
        size = sum(segment.path.stat().st_size for segment, _ in done)
        paths = [segment.path for segment, _ in done]
        if fresh:
            with self._trail.recording(archive_event(str(to), fresh)):
                remove_files(paths)
        else:
            # An earlier run has stated them, and was killed before it had removed them.
            remove_files(paths)
        outcome.segments += len(done)
        outcome.size += size

    def prune(self, archive: Path, before: str) -> Outcome:
        """Remove segments that are complete since ``before`` from an archive, if the log states that they are archived.

        Raises DataFolderError if the folder is not an archive, OSError if it cannot be written.
        """
        archive = self._usable(archive)
        if not archive.is_dir():
            raise DataFolderError(f"`{archive}` does not exist, so there is nothing to prune")
        self._require_elsewhere(archive)
        outcome = Outcome()
        with self._trail.changing():
            known = self.statements()
            here = {segment.name for segment in segments_of(self._folder.audit)}
            due = list[Segment]()
            for copies in copies_of_segments([archive]):
                said = known.segments.get(copies[0].name)
                if copies[0].name in here:
                    continue  # An archiving was killed before it had removed the segment: the next one does.
                if said is None:
                    outcome.problems.append(
                        f"`{copies[0].path}` stays: the audit log does not state that it is archived"
                    )
                elif said.complete <= before:
                    due += copies
            for batch in _batches(due):
                fresh = [name for name in dict.fromkeys(each.name for each in batch) if name not in known.pruned]
                size = sum(segment.path.stat().st_size for segment in batch)
                paths = [segment.path for segment in batch]
                if fresh:
                    with self._trail.recording(prune_event(str(archive), fresh)):
                        remove_files(paths)
                else:
                    remove_files(paths)
                outcome.segments += len(batch)
                outcome.size += size
        return outcome

    def statements(self) -> Statements:
        """Return what the log states about archived segments."""
        return read_statements(segments_of(self._folder.audit), self._key.verifies)

    def _due(self, before: str, left_out: Collection[str]) -> list[tuple[Segment, Segment]]:
        return due_segments(self._folder, self._store, self._key, before, left_out)

    def _usable(self, archive: Path) -> Path:
        """Return the absolute path of an archive; raises DataFolderError for the folder of the log or of the data."""
        found = archive.resolve()
        for own, what in self._own_folders():
            if found == own.resolve():
                raise _own_folder(archive, what)
        return found

    def _require_elsewhere(self, archive: Path) -> None:
        """Refuse the folder of the log or of the data under another path, such as a second mount of it.

        What is moved there would be verified against itself, and removed. Raises DataFolderError, OSError.
        """
        for own, what in self._own_folders():
            if is_same_folder(archive, own):
                raise _own_folder(archive, what)

    def _own_folders(self) -> tuple[tuple[Path, str], ...]:
        return (self._folder.path, "the data folder"), (self._folder.audit, "the folder of the audit log")


def _own_folder(archive: Path, what: str) -> DataFolderError:
    return DataFolderError(f"`{archive}` is {what} itself; choose another one")


def due_segments(
    folder: DataFolder, store: Readable, key: AuditPublicKey, before: str, left_out: Collection[str] = ()
) -> list[tuple[Segment, Segment]]:
    """Return the segments that can be archived, complete since ``before``, each with its successor.

    Chains of other nodes are left alone, and those of the writers ``left_out``.
    """
    # What a start needs is read before the files are listed: it only ever moves on.
    node = require_node_id(folder)
    with store.read() as reader:
        writers = {record.writer: record for record in reader.audit_writer_records()}
        marks = {mark.writer: mark for mark in reader.audit_marks()}
    found = list[tuple[Segment, Segment]]()
    for writer, files in groupby(segments_of(folder.audit), attrgetter("writer")):
        chain, record = list(files), writers.get(writer)
        if record is not None and writer not in left_out and _is_of_worker(writer, node):
            found += _due_of(chain, record, marks.get(writer), before, key)
    return found


def _due_of(
    chain: list[Segment], record: AuditWriterRecord, mark: AuditMark | None, before: str, key: AuditPublicKey
) -> Iterator[tuple[Segment, Segment]]:
    checkpoint = record.known.checkpoint
    signed = None if checkpoint is None else checkpoint.read_signed(record.writer, key.verifies)
    if signed is None or mark is None:
        return
    due = complete_before(chain, signed.sequence + 1, mark, before)
    yield from zip(due, chain[1:], strict=False)


def _is_of_worker(writer: str, node: NodeId) -> bool:
    parsed = parse_writer(writer)
    return parsed is not None and parsed.worker is not None and parsed.is_of(node)


def _batches(segments: list[Segment]) -> Iterator[list[Segment]]:
    for start in range(0, len(segments), _AT_ONCE):
        yield segments[start : start + _AT_ONCE]
