"""Checks the database before a data folder is served."""

import logging

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.store.integrity import Integrity, UncheckedError
from strongroom.store.sqlite.integrity import AT_ONCE, check_integrity, size_of

logger = logging.getLogger(__name__)


def check_database(folder: DataFolder, *, only_read: bool = False, pages: bool = True) -> Integrity:
    """Check the whole database of a folder, also while it is served; raises DataFolderError if it cannot be read.

    For ``only_read`` and ``pages``, see ``check_integrity``.
    """
    try:
        return check_integrity(folder.database, only_read=only_read, pages=pages)
    except UncheckedError as error:
        raise DataFolderError(str(error)) from None


def is_checked_at_once(folder: DataFolder) -> bool:
    """Tell whether a database is small enough to be checked before it is served; if not, it is checked afterwards."""
    return size_of(folder.database) <= AT_ONCE


def require_whole_database(folder: DataFolder, *, serve_damaged: bool) -> None:
    """Refuse a database that is damaged, unless it is to be served all the same; raises DataFolderError.

    The pages of a large one are not read. Writes could make the damage worse, and a backup is newest now. A database
    that does not exist yet is not made.
    """
    if not folder.database.exists():
        return
    found = check_database(folder, pages=is_checked_at_once(folder))
    if found.is_whole:
        return
    damage = f"`{folder.database}` is damaged ({'; '.join(found.findings)})"
    if not serve_damaged:
        raise DataFolderError(
            f"{damage}; restore a backup, or set `serve-damaged = true` to serve what can still be read"
        )
    logger.error("%s, and is served because of `serve-damaged`", damage)
