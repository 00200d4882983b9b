"""An audit log in memory: it returns the appended lines as records, and never fails."""

import json
from typing import Any

from strongroom.audit.sink import AuditMark, AuditMeasurements


class MemorySink:
    """Keeps what is appended. Flushing and signing have nothing to do."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.refusals = 0
        self.size = 0

    def append(self, line: bytes) -> None:
        self.records.append(json.loads(line))
        self.size += len(line)

    def append_refusal(self, line: bytes) -> None:
        self.refusals += 1
        self.append(line)

    def flush(self) -> None:
        """Nothing waits."""

    def writable(self) -> bool:
        return True

    def mark(self) -> AuditMark:
        return AuditMark("w0", "", self.size)

    def checkpoint(self) -> None:
        """Nothing to sign."""

    def close(self) -> None:
        """Nothing to close."""

    def measure(self) -> AuditMeasurements:
        return AuditMeasurements(
            lines=len(self.records),
            size=self.size,
            waiting=0,
            lost=0,
            failures=0,
            failing=False,
            segment_begun=0.0,
            last_checkpoint=0.0,
        )
