"""Reads the audit log of a data folder: every line of every segment, in order."""

import json
from pathlib import Path
from typing import Any


def audit_files(data: Path) -> list[Path]:
    """Return the segments of the workers in a data folder, oldest first. With one writer, their names sort by time."""
    commands = set(command_files(data))
    return [path for path in all_audit_files(data) if path not in commands]


def command_files(data: Path) -> list[Path]:
    """Return the segments that commands have written, oldest first."""
    return sorted((data / "audit").glob("*cli-*.jsonl"))


def all_audit_files(data: Path) -> list[Path]:
    """Return every segment in a data folder."""
    return sorted((data / "audit").glob("*.jsonl"))


def audit_lines(data: Path) -> list[bytes]:
    """Return every complete line that workers have written: records, headers, checkpoints."""
    return [
        line for path in audit_files(data) for line in path.read_bytes().splitlines(keepends=True) if line[-1:] == b"\n"
    ]


def command_records(data: Path) -> list[dict[str, Any]]:
    """Return the records of commands."""
    lines = [json.loads(line) for path in command_files(data) for line in path.read_bytes().splitlines()]
    return [line for line in lines if "eventName" in line]


def audit_records(data: Path) -> list[dict[str, Any]]:
    """Return the records, without the member ``chain`` that links them."""
    records: list[dict[str, Any]] = [json.loads(line) for line in audit_lines(data)]
    for record in records:
        record.pop("chain")
    return [record for record in records if "eventName" in record]


def last_audit_record(data: Path) -> dict[str, Any]:
    """Return the newest record, reading from the end of the log; raises LookupError if there is none."""
    for path in reversed(audit_files(data)):
        for line in reversed(path.read_bytes().splitlines()):
            if b'"eventName"' in line:
                record: dict[str, Any] = json.loads(line)
                del record["chain"]
                return record
    raise LookupError("the audit log has no record")


def audit_bytes(data: Path) -> bytes:
    """Return the whole log as bytes, to search it for secrets."""
    return b"".join(path.read_bytes() for path in all_audit_files(data))


def throttled_records(data: Path) -> int:
    """Count the audit records of calls that were refused with ThrottlingException."""
    return sum(each.get("errorCode") == "ThrottlingException" for each in audit_records(data))
