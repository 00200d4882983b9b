"""PostgreSQL, which the data folders of several nodes share."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.databases.sole_node import require_sole_node
from strongroom.assembly.node import read_node_id
from strongroom.clock import Clock
from strongroom.entropy import Entropy
from strongroom.problems import Problems
from strongroom.settings import Settings, SettingsError
from strongroom.store.integrity import Integrity, UncheckedError
from strongroom.store.leases.page import PageFile, PageReader
from strongroom.store.leases.view import LeaseEnded, View
from strongroom.store.postgresql.address import Address, AddressError
from strongroom.store.postgresql.engine import Database as Pool
from strongroom.store.postgresql.engine import open_postgresql
from strongroom.store.postgresql.member_connection import MemberConnection
from strongroom.store.postgresql.node_store import NodeStore
from strongroom.store.postgresql.opening import (
    UnusableDatabaseError,
    explained,
    require_right_to_write,
    require_same,
    require_usable,
    size_of,
)
from strongroom.store.postgresql.read_store import PostgresqlReadStore
from strongroom.store.postgresql.schema_version import WrongSchemaError
from strongroom.store.postgresql.server_facts import read_server_facts
from strongroom.store.postgresql.settled_store import SettledStore
from strongroom.store.postgresql.settler import Settler
from strongroom.store.postgresql.verification import check_tables
from strongroom.store.server_facts import ServerFacts

_SMALL = 64 * 1024 * 1024
"""Records of databases up to this size in bytes are all checked when a server starts. An empty one has 8 MB."""


class PostgresqlDatabase:
    """The database that the setting ``store`` names, and the data folder of one node. See ``Database``."""

    is_shared = True

    def __init__(self, settings: Settings, clock: Clock, entropy: Entropy) -> None:
        """Do not connect yet. Raises SettingsError if the address is none."""
        self.address = self._pooled = _address("store", settings.store, settings)
        """Where the server itself is. The connections of the pool may lead to a pooler instead."""
        if settings.store_direct:
            self.address = _address("store-direct", settings.store_direct, settings)
        self.folder = DataFolder(settings.folder, f"the database `{self.address.name}`")
        self._settings = settings
        self._clock = clock
        self._entropy = entropy

    def connect_member(self, timeout: float | None = None) -> MemberConnection:
        """Connect for the protocol of leases; ``timeout`` is that of a statement, by default that of the settings."""
        settings = self._settings
        return MemberConnection(self.address.conninfo(), timeout or settings.store_timeout)

    def is_there(self) -> bool:
        """Tell whether the database was initialized: it has domain keys."""
        with closing(self.open_to_read()) as store, store.read() as reader:
            return bool(reader.domain_keys())

    def require_there(self) -> None:
        """Accept what is there: no start makes a database, so none can hide that one was lost."""

    def prepare(self, *, serve_damaged: bool, first: bool = False) -> None:  # noqa: ARG002 - it has no file here
        """Refuse a database with another schema, or that has no keys unless this process makes the ``first`` ones.

        Refuse also to start beside another process that serves as this node.
        """
        self.require_usable()
        with self.typed_errors():
            require_right_to_write(self.address, self._settings.store_timeout)
        if not first and not self.is_there():
            raise DataFolderError(self.remedy_if_missing())
        node = read_node_id(self.folder)
        if node is not None:
            with self.typed_errors(), explained(self.address), closing(self.connect_member()) as connection:
                require_sole_node(self.folder, node, connection, self._clock)

    def require_in_place(self) -> None:
        """Accept what is there: a deployment that has left is marked in the database, which refuses each write."""

    def require_current(self) -> None:
        """Refuse a database with another schema, or that was not initialized."""
        self.require_usable()
        if not self.is_there():
            raise DataFolderError(self.remedy_if_missing())

    def remedy_if_missing(self) -> str:
        """Return that the database was not initialized, and what to do."""
        return f"{self.folder.database_name} has no keys yet; make them once, on one node, with: strongroom init"

    def is_current(self) -> bool:
        """Tell whether the database has this release's schema."""
        try:
            require_usable(self.address, self._settings.store_timeout)
        except WrongSchemaError:
            return False
        return True

    def open(self, problems: Problems | None = None) -> SettledStore:
        """Open the database. A write returns when no node serves what was before it."""
        pool = self._pool()
        settler = Settler(self.connect_member, self._clock)
        pool.on_close(settler.close)
        return SettledStore(pool, self._entropy, settler, time_limit=self._time_limit, problems=problems)

    def open_to_serve(self, problems: Problems | None = None) -> NodeStore:
        """Open the database beside the agent of this node; wait until the node has a lease.

        Raises DataFolderError if it gets none.
        """
        try:
            page = PageFile(self.folder.generation, self._clock.boot(), writing=False)
        except (FileNotFoundError, ValueError):
            raise self._no_lease() from None
        view = View(PageReader(page.memory, page.place), self._clock.uptime, time.sleep)
        try:
            # A row of an earlier start that this page does not know has to end first.
            view.wait_for_lease(2 * self._settings.lease + self._time_limit)
        except LeaseEnded:
            page.close()
            raise self._no_lease() from None
        pool = self._pool()
        settler = Settler(self.connect_member, self._clock)
        pool.on_close(page.close)
        pool.on_close(settler.close)
        return NodeStore(pool, self._entropy, view, settler, problems=problems, has_page=page.is_in_place)

    def open_to_read(self, *, untouched: bool = False) -> PostgresqlReadStore:  # noqa: ARG002 - nothing is touched
        """Open the database and change nothing. A role that may only read can do this."""
        self.require_usable()
        return PostgresqlReadStore(self._pool(), self._entropy, time_limit=self._time_limit)

    def check(self, *, only_read: bool = False, pages: bool = True) -> Integrity:  # noqa: ARG002 - it only reads
        """Read every value of every table."""
        with self.typed_errors(), closing(self._pool()) as pool:
            return check_tables(pool)

    def server_facts(self) -> ServerFacts:
        """Return what the server of the database says of itself."""
        with self.typed_errors():
            return read_server_facts(self.address, self._settings.store_timeout, self._clock.uptime)

    def is_small(self) -> bool:
        """Tell whether the database is so small that all records are checked when a server starts."""
        try:
            return size_of(self.address, self._settings.store_timeout) <= _SMALL
        except UnusableDatabaseError:
            return False

    def remedy_if_set_back(self) -> str:
        """Return what an operator can do after a failover or a restore with loss."""
        return (
            "A failover to a standby that lagged behind, or a restore of the database, has lost what is missing. If "
            "another server has it, make that the primary; to go on without it, stop this node's server, and run: "
            f"strongroom database accept-older --data {self.folder.path}"
        )

    @property
    def _time_limit(self) -> float:
        return 2 * self._settings.store_timeout

    def _pool(self) -> Pool:
        # One connection more is that of the settler.
        return open_postgresql(
            self._pooled,
            size=self._settings.store_connections - 1,
            wait=self._settings.store_timeout,
            statement_limit=self._settings.store_timeout,
            # A pooler may give each transaction another connection.
            prepare=self._pooled is self.address,
        )

    def require_usable(self) -> None:
        """Refuse a database that cannot be reached, or has another schema."""
        with self.typed_errors():
            require_usable(self.address, self._settings.store_timeout)
            if self._pooled is not self.address:
                require_same(self._pooled, self.address, self._settings.store_timeout)

    @contextmanager
    def typed_errors(self) -> Iterator[None]:
        """Turn what keeps the database from being used into DataFolderError, whose message names the database."""
        try:
            yield
        except (UnusableDatabaseError, UncheckedError) as error:
            raise DataFolderError(str(error)) from None
        except WrongSchemaError as error:
            raise DataFolderError(f"{self.folder.database_name}: {error}") from None

    def _no_lease(self) -> DataFolderError:
        return DataFolderError(
            f"this node has no lease on {self.folder.database_name}: its agent, a process of `strongroom serve`, does "
            "not run, or cannot reach the database; its lines in the log say why"
        )


def _address(name: str, value: str, settings: Settings) -> Address:
    password_file = settings.store_password_file
    try:
        return Address(value, None if password_file is None else Path(password_file))
    except AddressError as error:
        raise SettingsError(f"`{name}` is not valid: {error}") from None
