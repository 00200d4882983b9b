"""Reads the audit log of a data folder: every line of every segment, in order.

If nodes share a deployment with it, theirs are read as well: their folders are beside it, with its name and a number.
"""

import json
from pathlib import Path
from typing import Any


def node_folders(data: Path) -> list[Path]:
    """Return the data folders of all nodes of a deployment, given that of the first."""
    return [data, *sorted(data.parent.glob(f"{data.name}-node*[0-9]"))]


def audit_files(data: Path) -> list[Path]:
    """Return the segments of the workers in a data folder, oldest first. With one writer, their names sort by time."""
    commands = set(command_files(data))
    return [path for path in all_audit_files(data) if path not in commands]


def command_files(data: Path) -> list[Path]:
    """Return the segments that commands have written, oldest first."""
    return _segments(data, "*cli-*.jsonl")


def all_audit_files(data: Path) -> list[Path]:
    """Return every segment in a data folder, and in those of the nodes beside it."""
    return _segments(data, "*.jsonl")


def _segments(data: Path, pattern: str) -> list[Path]:
    return [path for folder in node_folders(data) for path in sorted((folder / "audit").glob(pattern))]


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
    """Return the newest record, reading from the end of the log; raises LookupError if there is none.

    Of records of the same second on several nodes, it is the one in the file that was written last.
    """
    found = [_last_of(node) for node in node_folders(data)]
    newest = max((each for each in found if each), key=lambda each: (each[1]["eventTime"], each[0]), default=None)
    if newest is None:
        raise LookupError("the audit log has no record")
    return newest[1]


def _last_of(node: Path) -> tuple[int, dict[str, Any]] | None:
    """Return the last record of one node, and when its file was written."""
    commands = {*command_files(node)}
    for path in sorted((node / "audit").glob("*.jsonl"), reverse=True):
        for line in reversed(path.read_bytes().splitlines()):
            if path not in commands and b'"eventName"' in line:
                record: dict[str, Any] = json.loads(line)
                del record["chain"]
                return path.stat().st_mtime_ns, record
    return None


def audit_bytes(data: Path) -> bytes:
    """Return the whole log as bytes, to search it for secrets."""
    return b"".join(path.read_bytes() for path in all_audit_files(data))


def throttled_records(data: Path) -> int:
    """Count the audit records of calls that were refused with ThrottlingException."""
    return sum(each.get("errorCode") == "ThrottlingException" for each in audit_records(data))
