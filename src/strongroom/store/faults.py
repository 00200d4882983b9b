"""What can be wrong with a database, and what clients and operators are told about it."""

from enum import StrEnum
from typing import NamedTuple

import msgspec

from strongroom.errors import DependencyTimeoutException, KMSInternalException


class FaultKind(StrEnum):
    """The kind of a fault; the value is the label of the metric."""

    BUSY = "busy"
    """Others held the lock on the database for too long."""
    CONFLICT = "conflict"
    """Other writers were faster, also at the retry."""
    ROLLED_BACK = "rolled_back"
    """The database rolled the transaction back because of the fault of another writer."""
    FULL = "full"
    IO = "io"
    """The disk or the file system failed."""
    UNWRITABLE = "unwritable"
    """The file, its folder or its file system may only be read."""
    UNREACHABLE = "unreachable"
    """A file of the database cannot be opened: permissions, open files."""
    STARVED = "starved"
    """The process has reached a limit: threads, open files, locks or memory. The database has nothing to do with it."""
    DAMAGED = "damaged"
    """A page of the database is not what it was, or the file is no database."""
    SCHEMA = "schema"
    """A table or a column is missing."""
    ROW = "row"
    """A row has values that this service did not write."""
    EMPTIED = "emptied"
    """A table that always has a row has none."""
    MOVED = "moved"
    """The files are not those that were opened."""
    CONNECTION = "connection"
    """The database server cannot be reached, or has ended the connection."""
    CROWDED = "crowded"
    """All connections are in use: those of this process, or those that the database server allows."""
    STANDBY = "standby"
    """The database server that was reached may only be read."""
    DENIED = "denied"
    """The role of this process may not do this in the database."""
    LEFT = "left"
    """The deployment was moved to another database. Nothing may be written to this one any more."""
    OTHER = "other"


COUNTED_ONLY = frozenset({FaultKind.CONFLICT, FaultKind.ROLLED_BACK})
"""Faults that say nothing of the database: they come from other writers, and the next attempt may succeed."""

LASTING = frozenset({FaultKind.DAMAGED, FaultKind.SCHEMA})
"""Faults that end only when a check finds the whole database in order."""


class _Words(NamedTuple):
    to_client: str
    trouble: str
    remedy: str


_WORDS = {
    FaultKind.BUSY: _Words(
        "The key store did not answer in time.",
        "did not answer in time",
        "end the process that keeps it locked, or see why its disk is slow",
    ),
    FaultKind.FULL: _Words(
        "The key store cannot be written now: its disk is full.",
        "cannot be written: its disk is full",
        "free space or inodes on the disk",
    ),
    FaultKind.IO: _Words(
        "The key store cannot be reached now: its disk failed.",
        "cannot be used: its disk failed",
        "see the kernel's log, and check the disk, its free space and quota, and the limits of file sizes",
    ),
    FaultKind.UNWRITABLE: _Words(
        "The key store cannot be written now.",
        "can only be read",
        "make the file, its folder and its file system writable for the server's user",
    ),
    FaultKind.UNREACHABLE: _Words(
        "The key store cannot be opened now.",
        "or a file beside it cannot be opened",
        "check the rights of the data folder, its disk's free inodes, and the limit of open files",
    ),
    FaultKind.STARVED: _Words(
        "The key store cannot be used now: the server lacks threads, open files, locks or memory.",
        "cannot be used: the server lacks threads, open files, locks or memory",
        "raise the limits of the service (ulimit -u, -n and -v; TasksMax, LimitNOFILE and MemoryMax of systemd), or "
        "see what uses so many",
    ),
    FaultKind.DAMAGED: _Words(
        "The key store is damaged where this request needs it.",
        "is damaged",
        "stop the server and restore a backup; what is not damaged is served meanwhile",
    ),
    FaultKind.SCHEMA: _Words(
        "The key store is damaged where this request needs it.",
        "lacks a table or a column",
        "stop the server and restore a backup; the rest is served meanwhile",
    ),
    FaultKind.ROW: _Words(
        "An entry of the key store that this request needs is damaged.",
        "has a damaged row",
        "restore a backup; the other rows are served meanwhile",
    ),
    FaultKind.EMPTIED: _Words(
        "The key store is damaged where this request needs it.",
        "has lost the rows of a table that is never empty",
        "stop the server, and put the database back as it was before, or restore a backup",
    ),
    FaultKind.MOVED: _Words(
        "The files of the key store are not those that this server has opened.",
        "is not the database that was opened: it, its -wal or its -shm was moved, replaced or removed",
        "stop the server, put the files back, and start it again",
    ),
    FaultKind.CONNECTION: _Words(
        "The key store cannot be reached now.",
        "cannot be reached",
        "see whether its database server runs, and whether this server may connect to it",
    ),
    FaultKind.CROWDED: _Words(
        "The key store has no free connection now.",
        "has no free connection",
        "see what keeps its connections in use, or allow the database server more of them",
    ),
    FaultKind.STANDBY: _Words(
        "The key store cannot be written now.",
        "can only be read: its database server is a standby, or its transactions are read-only",
        "make the primary reachable, or its transactions writable",
    ),
    FaultKind.DENIED: _Words(
        "The key store cannot be used now.",
        "denies this server's role what it needs",
        "grant the role its rights again",
    ),
    FaultKind.LEFT: _Words(
        "The key store has moved.",
        "cannot be written any more: the deployment was moved",
        "nothing was changed; have `store` in the settings name the database that is used now",
    ),
    FaultKind.OTHER: _Words(
        "The key store failed.",
        "failed",
        "report this as a defect",
    ),
}
_PERMANENT = LASTING | {FaultKind.ROW, FaultKind.EMPTIED}


class StoreUnavailable(DependencyTimeoutException):
    """The database cannot be read or written now; later it may. ``explanation`` is for the operator."""

    code = DependencyTimeoutException.code

    def __init__(self, message: str, explanation: str) -> None:
        super().__init__(message)
        self.explanation = explanation


class StoreDamaged(KMSInternalException):
    """What was asked for cannot be read from the database, also not later. ``explanation`` is for the operator."""

    code = KMSInternalException.code

    def __init__(self, message: str, explanation: str) -> None:
        super().__init__(message)
        self.explanation = explanation


class StoreFault(msgspec.Struct, frozen=True):
    """A fault that a read or a write met.

    ``reason`` is what the database says, such as "SQLITE_FULL: database or disk is full"; it has no values of rows.
    ``place`` is what was being done, such as "writing kms_key".
    """

    kind: FaultKind
    reason: str
    place: str
    writing: bool

    def explain(self, database: str) -> str:
        """Return a sentence for the operator, with the name of the database and what to do."""
        words = _WORDS[self.kind]
        said = f" ({self.reason}, while {self.place})" if self.reason else ""
        return f"`{database}` {words.trouble}{said}; {words.remedy}"

    @property
    def message(self) -> str:
        """What a client is told."""
        return _WORDS[self.kind].to_client

    def error(self, database: str) -> StoreUnavailable | StoreDamaged:
        """Return the error that the call gets."""
        kind = StoreDamaged if self.kind in _PERMANENT else StoreUnavailable
        return kind(self.message, self.explain(database))
