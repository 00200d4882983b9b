"""Fills a PostgreSQL database with the tables of another database, by COPY, in one transaction.

A process that is killed meanwhile leaves the database as it was.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection, insert, select, update
from typing_extensions import override

from strongroom.backup.blocks import SectionHead, Value
from strongroom.entropy import Entropy
from strongroom.store.postgresql.engine import Database, driver_of, long_statements, transaction
from strongroom.store.postgresql.schema import change, generation
from strongroom.store.postgresql.schema_version import require_this_schema
from strongroom.store.sql.filling import Entry, Filling, UnfitRowsError

_TAG_LENGTH = 8
# The other database may be slow to answer.
_PATIENT = "SET LOCAL idle_in_transaction_session_timeout = 0"
_GENERATION = select(generation.c.number).with_for_update()
_UNFIT = (psycopg.DataError, psycopg.IntegrityError, UnicodeEncodeError)


class PostgresqlFilling(Filling):
    """See ``Filling``."""

    def __init__(self, connection: Connection, entropy: Entropy) -> None:
        super().__init__(connection)
        self._entropy = entropy

    @override
    def history_id(self) -> str:
        # A copy may wait for its COMMIT, which a killed process has sent. It holds this row.
        self._connection.execute(_GENERATION)
        return super().history_id()

    @override
    def begin(self) -> None:
        # Of two that fill a database at once, the second waits, and then finds it filled.
        self._connection.execute(update(generation).values(tag=self._entropy(_TAG_LENGTH)))
        super().begin()

    @override
    def insert(self, head: SectionHead, rows: Sequence[Sequence[Value]]) -> None:
        statement = SQL("COPY {} ({}) FROM STDIN").format(
            Identifier(head.name), SQL(", ").join(map(Identifier, head.columns))
        )
        try:
            with driver_of(self._connection).cursor() as cursor, cursor.copy(statement) as copy:
                for row in rows:
                    copy.write_row(row)
        except _UNFIT:
            # Its text may have values of the row.
            raise UnfitRowsError(head.name) from None

    @override
    def end_log(self, entry: Entry) -> None:
        tag = self._entropy(_TAG_LENGTH)
        number, kind, account, region, name = entry
        values = {"kind": kind, "account": account, "region": region, "name": name}
        self._connection.execute(insert(change).values(sequence=number, tag=tag, **values))
        self._connection.execute(update(generation).values(number=number, tag=tag))


@contextmanager
def filled_database(database: Database, entropy: Entropy) -> Iterator[PostgresqlFilling]:
    """Fill a database that has this release's tables, and commit when the block ends; raises WrongSchemaError.

    ``database`` must let statements take long: a COMMIT may have to wait for a standby that is behind.
    """
    with transaction(database.engine) as connection, long_statements(connection):
        connection.exec_driver_sql(_PATIENT)
        require_this_schema(connection)
        yield PostgresqlFilling(connection, entropy)
