"""Inserts that wait until a statement needs them, and then go to the server together, as one statement a table.

What a transaction only inserts is sent with its COMMIT. So a group of writes that make keys takes as many messages as
one of them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

import psycopg
from psycopg import ClientCursor
from sqlalchemy.exc import DBAPIError

from strongroom.store.postgresql.connection import StoreConnection
from strongroom.store.postgresql.schema import metadata

_ORDER = {table.name: place for place, table in enumerate(metadata.sorted_tables)}
"""Rows are inserted after those that their foreign keys lead to."""

_ADD_COUNTS = (
    "INSERT INTO key_count (account, region, customer_keys) VALUES {rows} ON CONFLICT (account, region) "
    "DO UPDATE SET customer_keys = key_count.customer_keys + excluded.customer_keys"
)


class _Waiting:
    """Rows by the beginning of their statement, after the place of the table; new keys by account and Region."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, str], list[str]] = {}
        self.keys: Counter[tuple[str, str]] = Counter()

    def __bool__(self) -> bool:
        return bool(self.rows or self.keys)

    def take(self, other: "_Waiting") -> None:
        """Take over what waits there."""
        for head, rows in other.rows.items():
            self.rows.setdefault(head, []).extend(rows)
        self.keys += other.keys


class BatchedInserts:
    """The rows that one transaction has inserted and that were not sent yet. Each is text of SQL already.

    Those of the present write of a group can be dropped, as long as they were not sent. A value that PostgreSQL cannot
    hold, such as text with NUL, is refused when its row is added: then nothing was.
    """

    def __init__(self, connection: StoreConnection) -> None:
        self._cursor = ClientCursor(connection)
        self._waiting = _Waiting()
        self._own = _Waiting()

    def __bool__(self) -> bool:
        """Tell whether anything waits."""
        return bool(self._waiting or self._own)

    @property
    def has_own(self) -> bool:
        """Whether anything of the present write waits."""
        return bool(self._own)

    def new_keys(self, account: str, region: str) -> int:
        """Return how many of the keys that wait are customer managed keys of an account in a Region."""
        return self._waiting.keys[account, region] + self._own.keys[account, region]

    def keep(self) -> None:
        """Begin the next write of the group: what waits now cannot be dropped any more."""
        self._waiting.take(self._own)
        self._own = _Waiting()

    def drop(self) -> None:
        """Forget what the present write has inserted."""
        self._own = _Waiting()

    def add(self, table: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Add rows of a table; raises psycopg.DataError."""
        head, row_format = _parts(table, tuple(rows[0]))
        made = [self._cursor.mogrify(row_format, tuple(values.values())) for values in rows]
        self._own.rows.setdefault((_ORDER[table], head), []).extend(made)

    def count_key(self, account: str, region: str) -> None:
        """Add one to the number of an account's customer managed keys in a Region."""
        self._own.keys[account, region] += 1

    def take(self) -> list[str]:
        """Return the statements that insert what waits, without parameters. Nothing waits after that."""
        self.keep()
        taken, self._waiting = self._waiting, _Waiting()
        statements = [f"{head} VALUES {', '.join(rows)}" for (_, head), rows in sorted(taken.rows.items())]
        if taken.keys:
            # In one order, so that two transactions never wait for each other.
            counts = (self._cursor.mogrify("(%s, %s, %s)", (*key, count)) for key, count in sorted(taken.keys.items()))
            statements.append(_ADD_COUNTS.format(rows=", ".join(counts)))
        return statements

    def send(self) -> None:
        """Insert what waits now; raises what an INSERT by SQLAlchemy does."""
        try:
            self._cursor.execute("; ".join(self.take()).encode())
        except psycopg.Error as error:
            raise refusal_of_rows(error) from error


def refusal_of_rows(error: psycopg.Error) -> BaseException:
    """Return the error of SQLAlchemy for one of the driver, as if the row in question had been inserted alone."""
    table = error.diag.table_name
    statement = f"INSERT INTO {table}" if table else ""
    return DBAPIError.instance(statement, None, error, psycopg.Error, hide_parameters=True)


@lru_cache
def _parts(table: str, columns: tuple[str, ...]) -> tuple[str, bytes]:
    """Return the beginning of an INSERT, and one row of its values with placeholders."""
    # Names of our own, of which SQL reserves none.
    return f"INSERT INTO {table} ({', '.join(columns)})", f"({', '.join(['%s'] * len(columns))})".encode()
