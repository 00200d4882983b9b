"""The interface of durable state.

A ``Store`` gives writes and consistent reads of the subjects in ``subjects``. Two rules keep the in-memory view
strictly consistent: a write that has returned is durable, and it has left an entry in the change log that every other
reader can find with ``changes``.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from strongroom.audit.database_history import DatabasePosition
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.store.records import Changes
from strongroom.store.scopes import Scope
from strongroom.store.subjects.aliases import AliasReader, AliasWriter
from strongroom.store.subjects.audit import AuditReader, AuditWriter
from strongroom.store.subjects.custom_key_stores import CustomKeyStoreReader, CustomKeyStoreWriter
from strongroom.store.subjects.destructions import DestructionReader, DestructionWriter
from strongroom.store.subjects.domain_keys import DomainKeyReader, DomainKeyWriter
from strongroom.store.subjects.grants import GrantReader, GrantWriter
from strongroom.store.subjects.history import HistoryReader, HistoryWriter
from strongroom.store.subjects.identities import IdentityReader, IdentityWriter
from strongroom.store.subjects.keys import KeyReader, KeyWriter
from strongroom.store.subjects.nodes import NodeReader, NodeWriter
from strongroom.store.subjects.records import RecordReader, RecordWriter
from strongroom.store.subjects.reports import ReportReader, ReportWriter
from strongroom.store.subjects.seals import SealReader, SealWriter
from strongroom.store.subjects.xks_proxies import XksProxyReader, XksProxyWriter
from strongroom.store.unsettled import Settling

T = TypeVar("T")


class Reader(
    KeyReader,
    AliasReader,
    GrantReader,
    IdentityReader,
    ReportReader,
    CustomKeyStoreReader,
    XksProxyReader,
    AuditReader,
    DomainKeyReader,
    DestructionReader,
    SealReader,
    HistoryReader,
    NodeReader,
    RecordReader,
    Protocol,
):
    """Reads of one consistent state, of all subjects."""


class Transaction(
    Reader,
    KeyWriter,
    AliasWriter,
    GrantWriter,
    IdentityWriter,
    ReportWriter,
    CustomKeyStoreWriter,
    XksProxyWriter,
    AuditWriter,
    DomainKeyWriter,
    DestructionWriter,
    SealWriter,
    HistoryWriter,
    NodeWriter,
    RecordWriter,
    Protocol,
):
    """Reads, and writes that become durable together, or not at all."""


class Readable(Protocol):
    """Durable state, as far as it can be read."""

    def read(self) -> AbstractContextManager[Reader]:
        """Open a consistent read."""
        ...


class Store(Readable, Protocol):
    """Durable state. Safe to use from several threads."""

    @property
    def settling(self) -> Settling | None:
        """How answers wait for other nodes; None if every process knows of a write as soon as it has returned."""
        ...

    def load_key(self, locator: KeyLocator) -> KmsKey | None:
        """Return a key with its materials, tags and aliases, in a consistent read of its own; None if there is none.

        It is as cheap as the database allows.
        """
        ...

    def write(self, act: Callable[[Transaction], T], *scopes: Scope) -> T:
        """Run ``act`` in a write transaction; return its result once that is durable.

        ``act`` may be run again from its start, after a fault of the database or because another writer was faster.
        So it must have no effect except through the transaction and its result. What it raises rolls the transaction
        back.

        ``scopes`` name what ``act`` checks before it writes: a store with several writers locks their rows before
        ``act`` runs. A write whose statements guard themselves, such as those of the last uses of keys, needs none.

        Raises DependencyTimeoutException when the database does not answer or cannot write, and its subclass
        WriteOutcomeUnknown when the commit may or may not have happened: then the caller must undo nothing.
        """
        ...

    def version(self) -> bytes:
        """Return bytes that differ from those of the last call if any process has committed a change in between.

        A change is what has an entry in the change log. It is cheap.
        """
        ...

    def time(self) -> float | None:
        """Return the time by the clock of the database, epoch seconds; None if it has none but this machine's."""
        ...

    def take_turn(self, holder: str, seconds: float) -> bool:
        """Have ``holder`` do the keeper's work for some seconds, alone; return False if it is another's turn.

        It only spares the others the search for what is due. A holder that was stopped may go on when its turn is over,
        so each piece of work finds out by itself that it was done. Always True if no other node can have the database.
        """
        ...

    def require_answers(self) -> None:
        """Make sure that calls can be answered now; raises KmsError if not. It may wait for the database."""
        ...

    def confirm(self) -> None:
        """Check that the database was not moved, replaced or removed. If it was, ``version`` fails from now on.

        It also says which faults of the database have ended.
        """
        ...

    def retry_writes(self) -> None:
        """If writes have failed, find out whether they succeed again; raises KmsError if not."""
        ...

    def try_write(self) -> None:
        """Commit something that is of no consequence, to learn whether writes succeed now; raises KmsError."""
        ...

    def check(self) -> None:
        """Begin to check the whole database in the background; what is found is logged, and reported as a problem."""
        ...

    def position(self) -> DatabasePosition:
        """Return the newest position of the database that this process has committed, or found when it opened it.

        Cheap, and current when a write has returned. The same object is returned until this process commits a change.
        """
        ...

    def changes(self, after: int) -> Changes:
        """Return the change log after a sequence number."""
        ...

    def scrub(self) -> bool:
        """Overwrite erased key material in free pages and logs; return False if open reads prevent it.

        It does nothing if nothing was erased since it last succeeded. After a False, the caller tries again later.
        """
        ...

    def trim_changes(self, keep: int) -> None:
        """Remove all but the newest ``keep`` entries of the change log."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...
