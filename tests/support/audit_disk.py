"""An audit log in a folder, on a disk that can be full or fail, and its verification."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.audit.chain import KnownWriter
from strongroom.audit.database_history import DatabasePosition
from strongroom.audit.recorded_end import failure_before
from strongroom.audit.report import Finding, Report
from strongroom.audit.verification import Verifier
from strongroom.clock import DAY, ManualClock
from strongroom.crypto.audit_key import AuditKey
from strongroom.store.audit.chain_writer import ChainWriter
from strongroom.store.audit.end_file import read_ends
from strongroom.store.audit.log import AuditLog, Durability
from strongroom.store.audit.segment_reader import walk
from strongroom.store.audit.segments import copies_of_segments, segments_of

NOON = 1_790_000_000.0 // DAY * DAY + DAY / 2
KEY = AuditKey(bytes(32))
SEGMENT_SIZE = 1 << 20


@contextmanager
def broken(log: AuditLog) -> Iterator[None]:
    """Let every write to the log's current file fail for a while."""
    segment = log._chain._segment
    assert segment is not None
    good, segment.descriptor = segment.descriptor, -1
    try:
        yield
    finally:
        segment.descriptor = good


class MemorySigner:
    """Signs checkpoints, and records writers in memory."""

    def __init__(self, key: AuditKey = KEY) -> None:
        self.key = key
        self.writers: dict[str, KnownWriter] = {}
        self.position = DatabasePosition(1, "0123456789abcdef", 7)

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        return self.key.public().verifies(message, signature)

    def record(self, writer: str, known: KnownWriter) -> None:
        self.writers[writer] = known

    def recorded(self, writer: str) -> KnownWriter | None:
        return self.writers.get(writer)

    def database(self) -> DatabasePosition:
        return self.position


class Disk:
    """A folder with an audit log, and simulated faults of its disk."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.signer = MemorySigner()
        self.clock = ManualClock(NOON)
        self._patch = monkeypatch
        self._chains: list[ChainWriter] = []
        self._pwrite, self._fdatasync, self._ftruncate = os.pwrite, os.fdatasync, os.ftruncate

    def open(self, durability: Durability = "write", size: int = SEGMENT_SIZE, writer: str = "w0") -> AuditLog:
        log = AuditLog(self.folder, writer, durability, size, self.signer, self.clock)
        self._chains.append(log._chain)
        return log

    def write(self, log: AuditLog, *names: str) -> None:
        for name in names:
            log.append(msgspec.json.encode({"eventName": name}))
        log.flush()

    def files(self) -> list[list[dict[str, Any]]]:
        """Return the lines of each segment, parsed."""
        paths = [segment.path for segment in segments_of(self.folder)]
        return [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]

    def events(self) -> list[str]:
        return [line["eventName"] for lines in self.files() for line in lines if "eventName" in line]

    def verify(self) -> Report:
        return self.verify_from(self.signer.writers)

    def verify_from(self, writers: dict[str, KnownWriter]) -> Report:
        """Verify the log against an earlier state of the writers."""
        ends, boot = read_ends(self.folder), self.clock.boot()
        verifier = Verifier(
            KEY.public().verifies,
            writers,
            failure=lambda writer, sequence: failure_before(ends.get(writer), sequence, boot),
        )
        walk(copies_of_segments([self.folder]), verifier, lambda _: None)
        return verifier.finish(self.signer.writers)

    def findings(self) -> list[Finding]:
        return self.verify().findings

    def verified(self) -> Report:
        """Verify a log that must have no findings; return the report."""
        report = self.verify()
        assert report.findings == []
        return report

    def end_processes(self) -> None:
        """Close the files of all chains, as a kill of their processes does: a test could leave hundreds open."""
        while self._chains:
            chain = self._chains.pop()
            chain.end()
            chain.release()

    def cut_power(self, left: int) -> None:
        """Leave so many bytes of a chain on disk, at least its first line, and start the machine again."""
        self.end_processes()
        first, *others = segments_of(self.folder)
        left = max(left, first.path.read_bytes().find(b"\n") + 1)
        for segment in (first, *others):
            content = segment.path.read_bytes()
            if left:
                segment.path.write_bytes(content[:left])
            else:
                segment.path.unlink()
            left = max(0, left - len(content))
        self.clock.restart(60)

    def fill(self, *, left: int = 10) -> None:
        """Let the disk take ``left`` more bytes, and then be full."""
        free = [left]

        def until_full(descriptor: int, data: bytes, offset: int) -> int:
            taken = min(len(data), free[0])
            free[0] -= taken
            if not taken:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self._pwrite(descriptor, data[:taken], offset)

        self._patch.setattr(os, "pwrite", until_full)

    def break_truncation(self) -> None:
        def broken(_descriptor: int, _size: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        self._patch.setattr(os, "ftruncate", broken)

    def break_sync(self) -> None:
        def broken(_descriptor: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        self._patch.setattr(os, "fdatasync", broken)

    def repair(self) -> None:
        self._patch.setattr(os, "pwrite", self._pwrite)
        self._patch.setattr(os, "fdatasync", self._fdatasync)
        self._patch.setattr(os, "ftruncate", self._ftruncate)
