"""The result of a verification of the audit log. Pure."""

import re
from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum

import msgspec

MOST_FINDINGS = 10_000
"""The most findings that are listed."""
_EVENT_TIME = re.compile(rb'"eventTime":"([0-9TZ:-]{20})"')


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
    LOST = "lost"
    """It was on the disk of a node that was retired, as the log states."""


class Finding(msgspec.Struct, frozen=True):
    """One damage and its place: the file, the line (from 1), and the sequence number expected there."""

    kind: Kind
    file: str
    line: int
    sequence: int
    text: str


class ChainState(StrEnum):
    """What the database, or a signed statement, says of a writer."""

    UNKNOWN = "unknown"
    """The database was not read, or does not know the writer."""
    NOT_STOPPED = "not stopped"
    """It runs, or it was killed and not started again."""
    STOPPED = "stopped"
    RETIRED = "retired"
    """Its node was lost, and never writes again."""


class Chain(msgspec.Struct):
    """What was found of one writer's chain. Times are as in the records, empty if there are none."""

    writer: str
    state: ChainState = ChainState.UNKNOWN
    records: int = 0
    first_time: str = ""
    last_time: str = ""
    last_signed: str = ""
    """When its last checkpoint with a valid signature was signed."""
    missing: int = 0
    """The number of lines that the database proves to be missing at its end."""

    def note_times_in(self, lines: Sequence[bytes]) -> None:
        """Widen the span of its records by the first and the last one among some lines. Headers have no time."""
        if first := _first_time(lines):
            self.first_time = min(self.first_time or first, first)
            self.last_time = max(self.last_time, _first_time(reversed(lines)))


class Report(msgspec.Struct):
    """The result of a verification. Times are as in the records, empty if there are none."""

    writers: list[str] = msgspec.field(default_factory=list)
    """The writers whose chains were verified, in the order of their names."""
    chains: list[Chain] = msgspec.field(default_factory=list)
    """The chains that were verified, and those that are missing."""
    elsewhere: list[str] = msgspec.field(default_factory=list)
    """The writers whose chains are not here and were not judged: they are in folders of other nodes."""
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
    partial_copies: int = 0
    """The number of copies that end before the file that they are copies of, which is shipped while it is written."""
    pruned: int = 0
    """The number of segments that are not here because they were pruned, as the log states."""
    findings: list[Finding] = msgspec.field(default_factory=list)
    further: int = 0
    """The number of findings that are not listed, because the list is full."""

    def begin_chain(self, writer: str) -> Chain:
        """Return the next chain, to which what is found of it is added."""
        chain = Chain(writer)
        if writer:
            self.chains.append(chain)
        self.writers.append(writer)
        return chain

    def add(self, finding: Finding) -> None:
        """Add a finding to the list, or count it if the list is full."""
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(finding)
        else:
            self.further += 1

    def take_back(self, findings: Collection[Finding]) -> None:
        """Remove findings from the list. Those that were only counted are still counted."""
        self.findings = [each for each in self.findings if each not in findings]

    @property
    def first_time(self) -> str:
        """The time of the oldest record."""
        return min((each.first_time for each in self.chains if each.first_time), default="")

    @property
    def last_time(self) -> str:
        """The time of the newest record."""
        return max((each.last_time for each in self.chains), default="")


def _first_time(lines: Iterable[bytes]) -> str:
    """Return the time of the first record among some lines, empty if there is none."""
    found = next((found for line in lines if (found := _EVENT_TIME.search(line))), None)
    return "" if found is None else found[1].decode()
