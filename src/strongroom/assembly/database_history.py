"""Compares the database of a data folder with its audit log."""

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.audit.database_history import SetBack, find_set_back
from strongroom.store.audit.segments import newest_notes
from strongroom.store.protocol import Readable


def compare_with_log(folder: DataFolder, store: Readable) -> SetBack | None:
    """Return how the database differs from what the audit log notes of it; None if it has all that was committed."""
    # In this order: a server may commit in between.
    notes = newest_notes(folder.audit)
    with store.read() as reader:
        return find_set_back(notes, reader.database_position())


def require_all_committed(folder: DataFolder, store: Readable) -> None:
    """Refuse a database that lacks what the audit log says was committed; raises DataFolderError."""
    found = compare_with_log(folder, store)
    if found is not None:
        raise DataFolderError(
            f"`{folder.database}` was set back: {found.text}. Put the newer database with its -wal file back, or "
            "restore a backup; to go on without what is missing, run: "
            f"strongroom database accept-older --data {folder.path}"
        )
