"""Whole tables, for backups: read from one consistent state, and written in batches. Rows pass as they are stored.

Tables and columns are taken from the schema, so that a new column needs nothing here. Whether a new table is part of a
backup has to be decided below; a test fails until it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

import msgspec
from sqlalchemy import Connection, MetaData, Table, func, select
from sqlalchemy.exc import IntegrityError

from strongroom.backup.blocks import BackupError, SectionHead, Value
from strongroom.crypto.seal import SealedDomainKey
from strongroom.keys.arns import KeyLocator
from strongroom.store.sql.history import HistoryReads
from strongroom.store.sql.schema import change, domain_key, metadata
from strongroom.store.sql.statements import KEY

LEFT_OUT = {
    "seal_document": "a section of its own, whether the document was here or in a file",
    "change": "tells running processes what to read again; nothing has been read from a restored database yet",
    "database_history": "a restored database has a history of its own, so that no audit log takes it for another",
    "audit_mark": "positions in the files of an audit log, which stays with the node that wrote it",
}
"""Tables that are not part of a backup, with the reason."""

KEPT = frozenset(
    {
        "account",
        "access_key",
        "alias",
        "audit_checkpoint",
        "audit_key",
        "credential_report",
        "custom_key_store",
        "destruction",
        "domain_key",
        "identity",
        "identity_link",
        "key_count",
        "key_grant",
        "key_material",
        "key_tag",
        "key_usage",
        "kms_key",
        "last_accessed_job",
        "principal_use",
        "retired_node",
        "xks_proxy",
        "xks_proxy_credential",
        "xks_proxy_key",
    }
)
"""Tables that are part of a backup. ``audit_checkpoint`` is read by a restore, which then forgets these writers."""

MOVED = KEPT | {"audit_mark", "database_history"}
"""Tables that move with a deployment to another database, where its audit log and its history go on.

Of ``change``, the newest entry moves: it has the number that the audit log notes.
"""

_FIRST = ("domain_key", "audit_key", "audit_checkpoint")
"""What a reader needs to check the rest comes first. The other tables come after those that they refer to."""

_NEWEST_ENTRY = (
    select(*(change.c[name] for name in ("sequence", "kind", "account", "region", "name")))
    .order_by(change.c.sequence.desc())
    .limit(1)
)
_BATCH = 1000
_MOST_LEFT_OUT = 1000

UNFIT = (IntegrityError, OverflowError)
"""What the database raises for a row that breaks a constraint, or a number that it cannot hold."""


class TableSize(msgspec.Struct, frozen=True):
    """A table of a backup: its name and columns, and how many rows it has."""

    head: SectionHead
    rows: int


class TableReader(HistoryReads):
    """Reads every table of a backup, and the position of the database, in one consistent state."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tables(self, names: AbstractSet[str] = KEPT) -> list[TableSize]:
        """Return the tables of these ``names``, in the order in which a restore can insert them."""
        first = [metadata.tables[name] for name in _FIRST]
        others = [table for table in metadata.sorted_tables if table.name in names and table not in first]
        return [self._size(table) for table in (*first, *others)]

    def rows(self, name: str) -> Iterator[Sequence[Value]]:
        """Yield the rows of a table by their primary key. Memory holds a thousand of them."""
        table = metadata.tables[name]
        query = select(table).order_by(*table.primary_key.columns)
        for row in self._connection.execute(query, execution_options={"yield_per": _BATCH}):
            yield tuple(row)

    def newest_entry(self) -> tuple[int, str, str, str, str] | None:
        """Return the newest entry of the change log: number, kind, account, Region and name. None if there is none."""
        found = self._connection.execute(_NEWEST_ENTRY).one_or_none()
        return None if found is None else (found.sequence, found.kind, found.account, found.region, found.name)

    def _size(self, table: Table) -> TableSize:
        count = self._connection.execute(select(func.count()).select_from(table)).scalar_one()
        return TableSize(SectionHead(str(table.name), tuple(map(str, table.columns.keys()))), count)


class TableWriter:
    """Inserts the rows of a backup into empty tables, which have the schema that the backup was made with."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.left_out: dict[tuple[str, KeyLocator | None], int] = {}
        """How many rows of each table had values that no row can have, as damage of a disk leaves them.

        By the key that they belong to, None for other rows, and for those of more than a thousand keys.
        """
        self._tables = MetaData()
        self._tables.reflect(connection)

    def insert(self, head: SectionHead, rows: Sequence[Sequence[Value]]) -> None:
        """Insert rows; raises BackupError for a table or a column that the schema does not have."""
        table = self._tables.tables.get(head.name)
        columns = set(head.columns)
        known = table is not None and columns <= set(table.columns.keys()) and len(columns) == len(head.columns)
        if not known or head.name not in KEPT:
            raise BackupError(f"the backup has a table {head.name!a} that its schema does not have")
        if not rows:
            return
        # The names are those of the schema. SQLAlchemy would convert values, and fail where a damaged row has others.
        names = ", ".join(f'"{name}"' for name in head.columns)
        statement = f'INSERT INTO "{head.name}" ({names}) VALUES ({", ".join("?" * len(head.columns))})'  # noqa: S608
        try:
            with self._connection.begin_nested():
                self._connection.exec_driver_sql(statement, [tuple(row) for row in rows])
        except UNFIT:
            for row in rows:
                self._insert(head, statement, row)

    def _insert(self, head: SectionHead, statement: str, row: Sequence[Value]) -> None:
        """Insert one row, or count it in ``left_out``."""
        try:
            with self._connection.begin_nested():
                self._connection.exec_driver_sql(statement, tuple(row))
        except UNFIT:
            place = head.name, _key_of(head, row)
            if place not in self.left_out and len(self.left_out) >= _MOST_LEFT_OUT:
                place = head.name, None
            self.left_out[place] = self.left_out.get(place, 0) + 1

    def reseal(self, keys: Iterable[SealedDomainKey]) -> None:
        """Replace the sealed domain keys by the same ones, sealed by another root key."""
        for key in keys:
            place = (domain_key.c.scope == key.scope) & (domain_key.c.version == key.version)
            self._connection.execute(domain_key.update().where(place).values(sealed=key.sealed))


def _key_of(head: SectionHead, row: Sequence[Value]) -> KeyLocator | None:
    """Return the key that a row belongs to, None if to none."""
    values = dict(zip(head.columns, row, strict=True))
    account, region, key_id = (values.get(name) for name in KEY)
    if isinstance(account, str) and isinstance(region, str) and isinstance(key_id, str):
        return KeyLocator(account, region, key_id)
    return None
