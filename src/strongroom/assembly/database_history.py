"""Compares the database of a data folder with its audit log; goes on with an older one if an operator accepts it."""

import os
from collections.abc import Sequence

import msgspec

from strongroom.assembly.command_trail import CommandTrail
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.databases.database import Database
from strongroom.assembly.overdue_deletions import all_wait_anew, listed, overdue_keys
from strongroom.assembly.restored_objects import leave_uncommitted, tell_of_left
from strongroom.audit.database_history import HISTORY_ID_LENGTH, DatabasePosition, SetBack, find_set_back
from strongroom.audit.operator_events import AUDIT_SOURCE, OperatorEvent
from strongroom.entropy import Entropy
from strongroom.store.audit.segments import newest_notes
from strongroom.store.protocol import Readable, Store, Transaction
from strongroom.store.scopes import AccountScope
from strongroom.store.subjects.destructions import ErasedObject


class Accepted(msgspec.Struct, frozen=True):
    """What was missing in a database that is accepted, and the ARNs of keys that got a new waiting period."""

    missing: SetBack
    waiting_anew: Sequence[str]


def compare_with_log(folder: DataFolder, store: Readable) -> SetBack | None:
    """Return how the database differs from what the audit log notes of it; None if it has all that was committed."""
    # In this order: a server may commit in between.
    notes = newest_notes(folder.audit)
    with store.read() as reader:
        return find_set_back(notes, reader.database_position(), reader.earlier_histories())


def require_all_committed(database: Database, store: Readable) -> None:
    """Refuse a database that lacks what the audit log says was committed; raises DataFolderError."""
    folder = database.folder
    found = compare_with_log(folder, store)
    if found is not None:
        remedy = database.remedy_if_set_back()
        raise DataFolderError(f"{folder.database_name} was rolled back: {found.text}. {remedy}")


def accept_older(folder: DataFolder, store: Store, trail: CommandTrail, entropy: Entropy, now: float) -> Accepted:
    """Go on with a database that was rolled back: record that, and begin another history.

    From then on a copy from before is refused. What was announced when this state was saved is left in its token. Keys
    whose waiting period is over get a new one: their deletion may have been cancelled by a commit that is missing. If
    this is interrupted, or the audit log cannot be written, the database is refused until it is done again.
    Raises DataFolderError then, if a server has the folder, and if nothing is missing.
    """
    lock = folder.lock()
    try:
        found = compare_with_log(folder, store)
        if found is None:
            raise DataFolderError(
                f"{folder.database_name} has all that the audit log notes: there is nothing to accept"
            )

        def begin_history(transaction: Transaction) -> list[ErasedObject]:
            # Also if the audit log knows a later one, of which this is a copy from before.
            transaction.begin_history(history_id, noted.history)
            all_wait_anew(transaction, now)
            # A commit that is missing here may have given it to a key.
            return leave_uncommitted(transaction)

        history_id, noted = entropy(HISTORY_ID_LENGTH).hex(), found.note.position
        with trail.changing():
            with store.read() as reader:
                overdue = [each.arn for each in overdue_keys(reader, now)]
            with trail.recording(_event(found, overdue), noted):
                # The end of the recording notes the new history in the audit log.
                tell_of_left(store.write(begin_history, AccountScope("")))
        if compare_with_log(folder, store) is not None:
            raise DataFolderError(
                f"the audit log could not note that {folder.database_name} is accepted, which is refused until then; "
                "run this again"
            )
    finally:
        os.close(lock)
    return Accepted(found, overdue)


def _event(found: SetBack, overdue: Sequence[str]) -> OperatorEvent:
    details = {
        "lapse": found.lapse.value,
        "database": _details(found.database),
        "noted": {**_details(found.note.position), "time": found.note.time},
        "newWaitingPeriod": listed(overdue),
    }
    return OperatorEvent(
        name="AcceptOlderDatabase", command="database accept-older", source=AUDIT_SOURCE, details=details
    )


def _details(position: DatabasePosition) -> dict[str, object]:
    return {"history": position.history, "historyId": position.history_id, "change": position.change}
