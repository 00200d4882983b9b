"""What a deployment asks of its database: SQLite or PostgreSQL."""

from contextlib import AbstractContextManager
from typing import Protocol

from strongroom.assembly.data_folder import DataFolder
from strongroom.problems import Problems
from strongroom.store.counters import StoreCounters
from strongroom.store.integrity import Integrity
from strongroom.store.protocol import Readable, Store
from strongroom.store.quarantine import Quarantine
from strongroom.store.row_authenticator import RowAuthenticator
from strongroom.store.server_facts import ServerFacts
from strongroom.store.sql.sections import TableReader


class OwnStore(Store, Protocol):
    """A store that was opened here, and not only handed on: it can be told how rows are authenticated."""

    counters: StoreCounters
    quarantine: Quarantine

    def hurry(self, limit: float) -> None:
        """Give reads and writes ``limit`` seconds at most from now on: this process is about to end."""
        ...

    def authenticate(self, authenticator: RowAuthenticator, problems: Problems) -> None:
        """Authenticate rows from now on. Before that, only what is protected in other ways may be read."""
        ...

    def read_tables(self) -> AbstractContextManager[TableReader]:
        """Open a consistent read of whole tables, for a backup. Writers go on meanwhile."""
        ...


class ReadStore(Readable, Protocol):
    """A store that only reads."""

    def authenticate(self, authenticator: RowAuthenticator) -> None:
        """Authenticate rows from now on."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


class Database(Protocol):
    """The database of a data folder. Errors that an operator can end are DataFolderError and UnknownSchemaError."""

    folder: DataFolder
    """The data folder that the database belongs to, or one of those that share it."""

    @property
    def is_shared(self) -> bool:
        """Whether nodes share it: then no start makes or upgrades it, and none makes its keys."""
        ...

    def is_there(self) -> bool:
        """Tell whether there is a database to open."""
        ...

    def require_there(self) -> None:
        """Refuse a database that is missing although it was there before; raises DataFolderError."""
        ...

    def require_usable(self) -> None:
        """Make sure that a shared database can be reached and has this release's tables; raises DataFolderError."""
        ...

    def prepare(self, *, serve_damaged: bool, first: bool = False) -> None:
        """Make it ready for a process that has locked the folder: make it, check it, upgrade it, or refuse it.

        A damaged one is refused unless ``serve_damaged``, a shared one without keys unless this process is to make the
        ``first`` ones.
        """
        ...

    def require_in_place(self) -> None:
        """Refuse to change it if the deployment was moved elsewhere since it was opened; raises DataFolderError.

        The lock of commands must be held (``DataFolder.changing``): no move begins while it is. A shared database
        itself refuses writes once the deployment has left it.
        """
        ...

    def require_current(self) -> None:
        """Make sure that it has this release's schema, for a command; upgrade it if that can disturb no server."""
        ...

    def is_current(self) -> bool:
        """Tell whether it has this release's schema; raises UnknownSchemaError if that cannot be known."""
        ...

    def open(self, problems: Problems | None = None) -> OwnStore:
        """Open it for a process that keeps nothing of what it reads: a command, or a start."""
        ...

    def open_to_serve(self, problems: Problems | None = None) -> OwnStore:
        """Open it for a process that serves, and caches what it reads."""
        ...

    def open_to_read(self, *, untouched: bool = False) -> ReadStore:
        """Open it and change nothing.

        ``untouched`` is for a caller that also must make no file beside the database of a stopped server.
        """
        ...

    def check(self, *, only_read: bool = False, pages: bool = True) -> Integrity:
        """Check the whole database, also while it is served; raises DataFolderError if it cannot be read.

        With ``only_read`` nothing is written. Without ``pages``, only its structure is looked at, where that is
        possible.
        """
        ...

    def server_facts(self) -> ServerFacts | None:
        """Return what the server of the database says of itself, None if there is none; raises DataFolderError."""
        ...

    def is_small(self) -> bool:
        """Tell whether checking all of it takes only a moment."""
        ...

    def remedy_if_missing(self) -> str:
        """Return that it is not there, and what to do."""
        ...

    def remedy_if_set_back(self) -> str:
        """Return what an operator can do if it lacks what was committed."""
        ...
