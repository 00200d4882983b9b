"""The chain of hashes by which changes of the audit log are detected. Pure.

Every line is a link: a record, the header of a segment, a note about the database, or a checkpoint. It ends like
this::

    …,"chain":{"writer":"w0","sequence":124,"hash":"<64 hexadecimal digits>"}}

``hash`` is SHA-256 over the hash of the line before, as it is written there, and over this line up to ``,"hash":``.
Each writer has its own chain. It continues across segments and restarts, and its sequence numbers have no gaps. A
checkpoint is a signed statement of a chain's position. It covers every line before it. ``database_history`` says what
the notes about the database are for.
"""

import re
import time
from collections.abc import Callable, Iterable
from enum import StrEnum
from hashlib import sha256
from typing import Annotated

import msgspec

from strongroom.audit.cloudtrail import event_time
from strongroom.audit.database_history import DatabaseNote, DatabasePosition

GENESIS = b"0" * 64
"""The previous hash of the first line."""

TAIL = len(b',"hash":""}}') + len(GENESIS)
"""The number of bytes at the end of a line that its hash does not cover: the hash itself, and the JSON around it."""

HEADER = b'{"segment":'
CHECKPOINT = b'{"checkpoint":'
DATABASE = b'{"database":'

_DOMAIN = b"strongroom audit checkpoint 1\n"
_CLAIM = re.compile(rb',"chain":\{"writer":"([a-z0-9]+)","sequence":([1-9][0-9]{0,18}),"hash":"([0-9a-f]{64})"\}\}\Z')
_LONGEST_CLAIM = 192
_NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d{6}Z)-([a-z0-9]+)-(\d{12,19})\.jsonl")


class Position(msgspec.Struct, frozen=True):
    """The position of a writer's chain: its last sequence number, and that line's hash in hexadecimal."""

    writer: str
    sequence: int = 0
    digest: bytes = GENESIS


class Statement(msgspec.Struct, frozen=True):
    """The signed part of a checkpoint: a writer, the position of its chain, and the time."""

    writer: str
    sequence: int
    digest: str = msgspec.field(name="hash")
    time: str

    def is_of(self, position: Position) -> bool:
        """Tell whether the statement is about this position."""
        return (self.writer, self.sequence, self.digest.encode()) == (
            position.writer,
            position.sequence,
            position.digest,
        )


Count = Annotated[int, msgspec.Meta(ge=0)]


class Checkpoint(msgspec.Struct, frozen=True):
    """A statement in the bytes that were signed, and the signature: a line of the log, also kept in the database."""

    statement: msgspec.Raw = msgspec.field(name="checkpoint")
    signature: bytes

    def read(self) -> Statement:
        """Return the statement; raises msgspec.DecodeError if it cannot be decoded."""
        return msgspec.json.decode(self.statement, type=Statement)

    def read_signed(self, writer: str, verifies: Callable[[bytes, bytes], bool]) -> Statement | None:
        """Return the statement about a writer.

        None if it is about another writer or cannot be decoded, or if ``verifies(message, signature)`` does not hold.
        """
        if not verifies(signed_bytes(bytes(self.statement)), self.signature):
            return None
        try:
            statement = self.read()
        except msgspec.DecodeError:
            return None
        return statement if statement.writer == writer else None


class KnownWriter(msgspec.Struct, frozen=True):
    """The state of a writer in the database, from before its first line on.

    ``checkpoint`` is the newest one, None before the first. ``stopped`` tells whether the writer has stopped since, and
    has left no line after that checkpoint.
    """

    checkpoint: Checkpoint | None = None
    stopped: bool = False


class Unverified(StrEnum):
    """Why the lines that a start found after the last checkpoint cannot come from a crash."""

    NO = ""
    """They can come from a crash."""
    ADDED = "added"
    """The writer had stopped with its last checkpoint."""
    UNKNOWN = "unknown"
    """The database had no record of the writer."""
    UNSIGNED = "unsigned"
    """The checkpoint in the database was of another writer, or had no valid signature."""


class Header(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first line of a segment: the segment's name, and the hash of the line before.

    ``torn`` is how many bytes of an unfinished line a crash had left, ``lost`` how many records were dropped while the
    log could not be written. ``uncovered`` is how many lines came after the last signed checkpoint when a start took
    the chain over. A crash leaves some. ``unverified`` is the reason why they cannot come from a crash. In the file
    these two are named ``unvouched`` and ``doubt``. ``database`` is the note about the database with which the segment
    begins; None in those of releases that wrote none. ``missing`` is how many lines that the process before had written
    were not there any more; with ``machine_failed``, the machine had ended without stopping it, which explains them.
    ``damaged`` is how many lines the machine's end has left from the first one on that it has damaged, and
    ``damaged_hash`` what they are (see ``damage``).
    """

    name: str
    previous: str
    torn: Count = 0
    lost: Count = 0
    uncovered: Count = msgspec.field(name="unvouched", default=0)
    unverified: Unverified = msgspec.field(name="doubt", default=Unverified.NO)
    database: DatabaseNote | None = None
    missing: Count = 0
    machine_failed: bool = msgspec.field(name="machineFailed", default=False)
    damaged: Count = 0
    damaged_hash: str = msgspec.field(name="damagedHash", default="")


class HeaderLine(msgspec.Struct, frozen=True):
    """A header within its line."""

    segment: Header


class DatabaseLine(msgspec.Struct, frozen=True):
    """A note about the database within its line."""

    database: DatabaseNote


class SegmentName(msgspec.Struct, frozen=True):
    """The parts of a segment's file name: when it was begun, its writer, and its first sequence number."""

    begun: str
    writer: str
    first: int


def link(bodies: Iterable[bytes], after: Position) -> tuple[bytes, Position]:
    """Return the chained lines of some JSON objects, and the position of the chain after them."""
    mark = b',"chain":{"writer":"%b","sequence":' % after.writer.encode()
    sequence, digest = after.sequence, after.digest
    lines = []
    for body in bodies:
        sequence += 1
        # Concatenation is faster than formatting here, and this runs for every call.
        covered = body[:-1] + mark + b"%d" % sequence
        digest = sha256(digest + covered).hexdigest().encode()
        lines.append(covered + b',"hash":"' + digest + b'"}}\n')
    return b"".join(lines), Position(after.writer, sequence, digest)


def claim_of(line: bytes) -> Position | None:
    """Return the position that a line states, given without its newline; None if it states none."""
    found = _CLAIM.search(line[-_LONGEST_CLAIM:])
    return None if found is None else Position(found[1].decode(), int(found[2]), found[3])


def header_body(header: Header) -> bytes:
    """Return a header as a line, before it is chained."""
    return msgspec.json.encode(HeaderLine(header))


def database_note(position: DatabasePosition, now: float) -> DatabaseNote:
    """Return the note that a position of the database was committed by ``now``, epoch seconds."""
    return DatabaseNote(position, event_time(now))


def database_body(note: DatabaseNote) -> bytes:
    """Return a note about the database as a line, before it is chained."""
    return msgspec.json.encode(DatabaseLine(note))


def checkpoint_in(line: bytes) -> Checkpoint | None:
    """Return the checkpoint in a line, None if it is none or cannot be decoded."""
    if not line.startswith(CHECKPOINT):
        return None
    try:
        return msgspec.json.decode(line, type=Checkpoint)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def header_in(line: bytes) -> Header | None:
    """Return the header in a line, None if it is no header or cannot be decoded."""
    try:
        return msgspec.json.decode(line, type=HeaderLine).segment if line.startswith(HEADER) else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def note_in(line: bytes) -> DatabaseNote | None:
    """Return what a line notes about the database, None if it notes nothing or cannot be decoded."""
    if not line.startswith(DATABASE):
        header = header_in(line)
        return None if header is None else header.database
    try:
        return msgspec.json.decode(line, type=DatabaseLine).database
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def continues(line: bytes, before: bytes) -> bool:
    """Tell whether a line, given without its newline, has the hash that follows from the hash of the line before."""
    return line[-TAIL:] == b',"hash":"%b"}}' % sha256(before + line[:-TAIL]).hexdigest().encode()


def statement_of(position: Position, now: float) -> bytes:
    """Return the statement of a checkpoint about a position, as JSON."""
    return msgspec.json.encode(Statement(position.writer, position.sequence, position.digest.decode(), event_time(now)))


def signed_bytes(statement: bytes) -> bytes:
    """Return the bytes that are signed for a statement.

    A prefix keeps the signature from being valid for any other message.
    """
    return _DOMAIN + statement


def segment_name(now: float, after: Position) -> str:
    """Return the name of the segment that begins after a position. Names sort by time."""
    return f"{name_time(now)}-{after.writer}-{after.sequence + 1:012}.jsonl"


def name_time(now: float) -> str:
    """Return epoch seconds as names of segments have them: ``2026-03-01T120000Z``."""
    return time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime(now))


def parse_name(name: str) -> SegmentName | None:
    """Return the parts of a segment's file name, None for any other name."""
    found = _NAME.fullmatch(name)
    return None if found is None else SegmentName(found[1], found[2], int(found[3]))
