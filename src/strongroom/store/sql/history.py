"""The history of the database and the number of its newest change, in SQL."""

from collections.abc import Mapping

from sqlalchemy import Connection, func, insert, select

from strongroom.audit.database_history import DatabasePosition
from strongroom.store.sql.schema import change, database_history

_HISTORY = select(database_history).order_by(database_history.c.ordinal.desc()).limit(1)
# The newest entry of the change log is never trimmed.
_NEWEST_CHANGE = select(func.coalesce(func.max(change.c.sequence), 0))
_BEGIN = insert(database_history)


class EmptiedTableError(Exception):
    """A table that always has a row has none; the message names it."""


class HistoryReads:
    """Reads of the database's position. See ``subjects.history``."""

    _connection: Connection

    def database_position(self) -> DatabasePosition:
        """Return the present history of the database and its newest change; raises EmptiedTableError."""
        history = self._connection.execute(_HISTORY).one_or_none()
        if history is None:
            raise EmptiedTableError(database_history.name)
        return DatabasePosition(history.ordinal, history.history_id, self.newest_change())

    def earlier_histories(self) -> Mapping[int, str]:
        """Return nothing: the database is that of one data folder, whose audit log notes each new history."""
        return {}

    def newest_change(self) -> int:
        """Return the number of the newest change, 0 if there is none yet."""
        found: int = self._connection.execute(_NEWEST_CHANGE).scalar_one()
        return found


class HistoryWrites(HistoryReads):
    """Writes of the database's history. See ``subjects.history``."""

    def begin_history(self, history_id: str, after: int = 0) -> None:
        """Begin another history of the database, with a random id of 16 hexadecimal digits.

        Its ordinal is higher than the present one, and than ``after``.
        """
        before = self.database_position()
        values = {"ordinal": max(before.history, after) + 1, "history_id": history_id, "began_after": before.change}
        self._connection.execute(_BEGIN, values)
