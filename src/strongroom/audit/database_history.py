"""Whether a database is older than the audit log says that it was. Pure.

Every commit that changes something adds to the change log of the database, whose numbers only rise. After such a
commit, and before its call is answered, the audit log notes the newest number. Each segment begins with it, too. So a
database that ends with a lower number has lost commits that were answered: an older copy of it was put back, or its
write-ahead log was removed or damaged.

An operator can decide to go on with an older database. From then on its numbers mean something else, so it begins
another history, with a higher ordinal and a new random id. So does a database that is restored from a backup.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

_NONE: Mapping[int, str] = MappingProxyType({})

HISTORY_ID_LENGTH = 8
"""The number of random bytes of a history's id, which is written in hexadecimal."""


class DatabasePosition(msgspec.Struct, frozen=True, rename={"history_id": "historyId"}):
    """A state of the database: its history, the ordinal of that, and the number of its newest change; 0 for none."""

    history: int
    history_id: str
    change: int


class DatabaseNote(msgspec.Struct, frozen=True):
    """What the audit log says of the database: a position that was committed, and the time of the note in UTC."""

    position: DatabasePosition
    time: str


class Lapse(StrEnum):
    """How a database differs from what the audit log says of it."""

    LOST_CHANGES = "lost changes"
    """Changes are missing at its end."""
    OLDER_HISTORY = "older history"
    """It is a copy from before an operator decided to go on with an older database."""
    OTHER_HISTORY = "other history"
    """It belongs to another audit log."""


class SetBack(msgspec.Struct, frozen=True):
    """A database that was rolled back, and the newest note that shows it."""

    lapse: Lapse
    database: DatabasePosition
    note: DatabaseNote

    @property
    def text(self) -> str:
        """What is older than what, in a sentence without its end."""
        database, noted = self.database, self.note.position
        if self.lapse is Lapse.OLDER_HISTORY:
            return (
                f"the database is a copy from before its history {noted.history}, which began by {self.note.time}; "
                f"it is of history {database.history}"
            )
        if self.lapse is Lapse.OTHER_HISTORY:
            return (
                f"the database has the history {database.history} ({database.history_id}), which this audit log does "
                f"not know; the log notes history {noted.history} ({noted.history_id})"
            )
        return (
            f"the database is older than the audit log: it ends with change {database.change}, and by {self.note.time} "
            f"change {noted.change} was committed; {noted.change - database.change} acknowledged changes are missing"
        )


def find_set_back(
    notes: Iterable[DatabaseNote], database: DatabasePosition, earlier: Mapping[int, str] = _NONE
) -> SetBack | None:
    """Compare a database with the notes of an audit log; return None if it has all that was committed.

    The notes must have been read before the database: servers may write meanwhile. ``earlier`` are histories that the
    database had before, by ordinal, if several nodes write audit logs: a node that was not the one where an operator
    decided to go on has notes of those alone.
    """
    newest = max(notes, key=lambda note: (note.position.history, note.position.change), default=None)
    if newest is None:
        return None
    noted = newest.position
    if database.history < noted.history:
        return SetBack(Lapse.OLDER_HISTORY, database, newest)
    if noted.history < database.history and earlier.get(noted.history) == noted.history_id:
        return None
    if (database.history, database.history_id) != (noted.history, noted.history_id):
        return SetBack(Lapse.OTHER_HISTORY, database, newest)
    return SetBack(Lapse.LOST_CHANGES, database, newest) if database.change < noted.change else None
