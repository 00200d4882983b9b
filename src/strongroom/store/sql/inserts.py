"""Plain INSERTs: the statements of a transaction whose results nothing needs before the COMMIT."""

from collections.abc import Mapping, Sequence
from functools import cache

from sqlalchemy import Connection, Insert, Table, insert


class Inserts:
    """How a transaction inserts rows. A database behind a network may do it later, with many rows at once."""

    _connection: Connection

    @property
    def _unaffected(self) -> Connection:
        """The connection, for statements to which rows that this transaction has inserted make no difference."""
        return self._connection

    def _insert(self, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
        """Insert rows, each with values of the same columns.

        The database may refuse them now or at the COMMIT. So no write goes on after a refusal.
        """
        self._connection.execute(_statement(table), rows[0] if len(rows) == 1 else rows)


@cache
def _statement(table: Table) -> Insert:
    return insert(table)
