"""SQLite in the data folder."""

from pathlib import Path

from strongroom.assembly.data_folder import (
    DataFolder,
    DataFolderError,
    open_store,
    open_store_to_read,
    require_database,
    upgrade_unused,
)
from strongroom.assembly.database_check import check_database, is_checked_at_once, require_whole_database
from strongroom.assembly.relocation.mark import require_not_moved
from strongroom.problems import Problems
from strongroom.store.integrity import Integrity
from strongroom.store.sqlite.read_only import ReadOnlyStore
from strongroom.store.sqlite.schema_version import has_this_schema, upgrade
from strongroom.store.sqlite.store import SqlStore


class SqliteDatabase:
    """The file ``strongroom.db`` of a data folder. See ``Database``."""

    is_shared = False

    def __init__(self, folder: DataFolder) -> None:
        self.folder = folder
        self._opened: tuple[int, int] | None = None
        """Device and inode of the file that was opened; None before that."""

    def is_there(self) -> bool:
        """Tell whether the file exists."""
        return self.folder.database.exists()

    def require_there(self) -> None:
        """Refuse a folder that was served before and has no database, or whose deployment has moved."""
        require_not_moved(self.folder)
        require_database(self.folder)

    def require_usable(self) -> None:
        """Accept the file, whatever it is: what opens it finds out."""

    def prepare(self, *, serve_damaged: bool, first: bool = False) -> None:  # noqa: ARG002 - any start may be the first
        """Make the database, or check and upgrade it."""
        self.require_there()
        require_whole_database(self.folder, serve_damaged=serve_damaged)
        upgrade(self.folder.database)

    def require_in_place(self) -> None:
        """Refuse a deployment that has moved, and a file that is not under its name any more.

        A move back puts another file in the place of the one that was left, which a command may still have open.
        """
        require_not_moved(self.folder)
        if self._opened is not None and self._opened != _identity(self.folder.database):
            raise DataFolderError(
                f"another database was put in the place of `{self.folder.database}` since this has opened it; "
                "run it again"
            )

    def require_current(self) -> None:
        """Upgrade the database if no server has the folder."""
        self.require_there()
        if not self.folder.database.exists():
            raise DataFolderError(f"`{self.folder.path}` is not a data folder; start a server once to make it")
        upgrade_unused(self.folder)

    def is_current(self) -> bool:
        """Tell whether the database has this release's schema."""
        return has_this_schema(self.folder.database)

    def open(self, problems: Problems | None = None) -> SqlStore:
        """Open the database. Processes of one machine find each other's commits in its files."""
        # Before: if it is replaced in between, it is refused later, and not taken for the one that was opened.
        self._opened = _identity(self.folder.database)
        return open_store(self.folder, problems)

    def open_to_serve(self, problems: Problems | None = None) -> SqlStore:
        """Open the database."""
        return self.open(problems)

    def open_to_read(self, *, untouched: bool = False) -> ReadOnlyStore:
        """Open the database and change nothing."""
        require_not_moved(self.folder)
        return open_store_to_read(self.folder, untouched=untouched)

    def check(self, *, only_read: bool = False, pages: bool = True) -> Integrity:
        """Check every page, table and index."""
        return check_database(self.folder, only_read=only_read, pages=pages)

    def server_facts(self) -> None:
        """Return None: the file has no server."""

    def is_small(self) -> bool:
        """Tell whether the database is checked before it is served."""
        return is_checked_at_once(self.folder)

    def remedy_if_missing(self) -> str:
        """Return that the file is not there, and what to do."""
        return f"`{self.folder.path}` has no database; name the data folder in --data, or start a server"

    def remedy_if_set_back(self) -> str:
        """Return what an operator can do about files that were put back or removed."""
        return (
            f"An older copy was put here, or its write-ahead log `{self.folder.database.name}-wal` was removed or "
            "damaged. Put the newer database with that file back, or restore a backup; to go on without what is "
            f"missing, run: strongroom database accept-older --data {self.folder.path}"
        )


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from all others that exist at the same time; None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
