"""The result of a verification of the audit log. Pure."""

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """Kinds of damage that verification finds."""

    ALTERED = "altered"
    REMOVED = "removed"
    REORDERED = "reordered"
    TRUNCATED = "truncated"
    FILE_MISSING = "file missing"
    BAD_SIGNATURE = "bad signature"
    ADDED = "added"
    SET_BACK = "database set back"


class Finding(msgspec.Struct, frozen=True):
    """One damage and its place: the file, the line (from 1), and the sequence number expected there."""

    kind: Kind
    file: str
    line: int
    sequence: int
    text: str


class Report(msgspec.Struct):
    """The result of a verification. Times are as in the records, empty if there are none."""

    writers: list[str] = msgspec.field(default_factory=list)
    """The writers whose chains were verified, in the order of their names."""
    segments: int = 0
    records: int = 0
    checkpoints: int = 0
    unsigned: int = 0
    """The number of records after the last checkpoint of their writer, which no signature covers yet."""
    uncovered: int = 0
    """The number of lines after the last signed checkpoint that a start has continued. A crash leaves some."""
    torn: int = 0
    """The size of unfinished lines in bytes.

    Their calls were not answered. They were cut off after a crash, or are still there.
    """
    lost: int = 0
    """The number of records of refused calls that were dropped while the log could not be written."""
    machine_failures: int = 0
    """The number of times that the machine ended while a writer ran whose lines were not on disk at once."""
    missing: int = 0
    """The number of lines that are known to have been lost with that."""
    damaged: int = 0
    """The number of lines that the machine's end has left from the first one on that it has damaged."""
    archived: dict[str, int] = msgspec.field(default_factory=dict)
    """The number of segments that are not here because they were archived, by the folder that the log states."""
    pruned: int = 0
    """The number of segments that are not here because they were pruned, as the log states."""
    first_time: str = ""
    last_time: str = ""
    findings: list[Finding] = msgspec.field(default_factory=list)
    further: int = 0
    """The number of findings that are not listed, because the list is full."""
