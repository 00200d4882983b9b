"""The store of a process that only reads, under a role that may do nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.entropy import Entropy
from strongroom.problems import Problems
from strongroom.store.postgresql.engine import Database
from strongroom.store.postgresql.store import PostgresqlStore
from strongroom.store.postgresql.transaction import PostgresqlReader
from strongroom.store.row_authenticator import RowAuthenticator


class PostgresqlReadStore:
    """Reads of a database, also while servers write to it. See ``protocol.Readable``."""

    def __init__(self, database: Database, entropy: Entropy, *, time_limit: float) -> None:
        self._store = PostgresqlStore(database, entropy, time_limit=time_limit)

    def authenticate(self, authenticator: RowAuthenticator) -> None:
        """Authenticate rows from now on."""
        self._store.authenticate(authenticator, Problems())

    @contextmanager
    def read(self) -> Iterator[PostgresqlReader]:
        """Open a consistent read; raises StoreUnavailable or StoreDamaged."""
        with self._store.read() as reader:
            yield reader

    def close(self) -> None:
        """Close all connections."""
        self._store.close()
