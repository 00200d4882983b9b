"""The history of the database, and its newest change."""

from collections.abc import Mapping
from typing import Protocol

from strongroom.audit.database_history import DatabasePosition


class HistoryReader(Protocol):
    """Reads of the database's position."""

    def database_position(self) -> DatabasePosition:
        """Return the present history of the database and the number of its newest change."""
        ...

    def earlier_histories(self) -> Mapping[int, str]:
        """Return the ids of histories before the present one, by ordinal, in which audit logs of nodes may end.

        None, if the database is that of one data folder: its audit log notes each new history.
        """
        ...


class HistoryWriter(Protocol):
    """Writes of the database's history."""

    def begin_history(self, history_id: str, after: int = 0) -> None:
        """Begin another history, because changes of the present one are missing. Its id is random, 16 hex digits.

        Its ordinal is higher than the present one, and than ``after``, that of the history that it goes on from.
        """
        ...
