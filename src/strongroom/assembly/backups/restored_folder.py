"""The place that a restore fills: a hidden folder, which becomes the data folder when everything in it is on disk.

The database has another name until then. So a server that is started on a half-restored folder finds a root key without
a database, and refuses. If the data folder is a mount point, or in a folder that this user may not change, it cannot be
replaced; if it is the current folder, the shell would be left in the one that was replaced. In these cases the hidden
folder is inside it, and its files are moved at the end, the database last.

Where the state goes into a database elsewhere, a file beside the hidden folder says that all in that is complete. It is
written before that database is committed. So the next restore can finish what a killed one has begun.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from strongroom.assembly.backups.path_locks import path_lock
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.errors import DependencyTimeoutException
from strongroom.file_owners import is_foreign, owner_of, remedy, user_name
from strongroom.store.sqlite.faults import DatabaseError
from strongroom.whole_files import replace_file, sync_path

_LOST_AND_FOUND = "lost+found"
_WHAT_IS_LEFT = "The database may have the state; run the same command again"


class RestoredFolder:
    """A data folder that is being restored, and the place where it will be.

    ``filled`` is what a restore to the same place has noted that was killed afterwards, None if none has. Then the
    folder is as that one has left it, until ``begin_anew``.
    """

    def __init__(self, path: Path, target: Path) -> None:
        self._target = target
        self.note = _note_of(path)
        """The file that says that the rest is complete."""
        self.filled = self.note.read_bytes() if self.note.exists() else None
        self.folder = DataFolder(path)
        self.database = path / "restoring.db"
        """The database, until it is complete."""

    def note_filled(self, content: bytes) -> None:
        """Bring the folder to disk, and note that it is complete before the database elsewhere is; raises OSError."""
        _sync(self.folder.path)
        replace_file(self.note, content)

    def begin_anew(self) -> None:
        """Drop what a killed restore has left; raises OSError, and DataFolderError if it had moved some of it."""
        self.note.unlink(missing_ok=True)
        # Before the database has anything: what was moved belongs to another state.
        _require_empty(self._target, self.folder.path)
        shutil.rmtree(self.folder.path)
        self.folder.path.mkdir(mode=0o700)

    def publish(self, *, with_database: bool = True) -> None:
        """Bring everything to disk and put it in place, without the database if that is elsewhere.

        Raises DataFolderError, OSError.
        """
        path = self.folder.path
        log = self.database.with_name(self.database.name + "-wal")
        if with_database and log.exists() and log.stat().st_size:
            # SQLite empties it when the last connection is closed, unless that failed.
            raise DataFolderError(f"the last changes could not be moved from `{log}` into the database; restore again")
        for extra in ("-writer", "-wal", "-shm"):
            self.database.with_name(self.database.name + extra).unlink(missing_ok=True)
        if with_database:
            self.database.rename(self.folder.database)
        else:
            self.database.unlink(missing_ok=True)
        _sync(path)
        # A server may have been started in it meanwhile.
        _require_empty(self._target, path)
        # A restore that was killed may have moved some files.
        has_begun = self._target.exists() and any(self._target.iterdir())
        if path.parent == self._target or has_begun or _is_kept(self._target):
            others = sorted(each for each in path.iterdir() if each != self.folder.database)
            for each in (*others, *([self.folder.database] if with_database else [])):
                each.rename(self._target / each.name)
                sync_path(self._target)
            # If it were there without the folder, it would hide that this is complete.
            self.note.unlink(missing_ok=True)
            path.rmdir()
            sync_path(path.parent)
        else:
            path.rename(self._target)
            sync_path(self._target.parent)
        self.note.unlink(missing_ok=True)


def require_empty(target: Path) -> None:
    """Refuse a data folder with content, or that this user cannot fill for a server; raises DataFolderError."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise DataFolderError(f"`{target}` is not a folder; name another one in --data")
    if not target.parent.is_dir():
        raise DataFolderError(f"`{target.parent}` does not exist; make it first")
    _require_fillable(target)
    _require_empty(target, _hidden(target))


def _require_fillable(target: Path) -> None:
    """Refuse a place where this user may not write, or of whose content another user would be the owner."""
    if not target.exists():
        if not _may_change(target.parent):
            raise DataFolderError(
                f"`{target.parent}` cannot be changed by user {user_name(os.geteuid())}; make `{target}` first, as a "
                "folder of this user, or name another one in --data"
            )
        return
    status = target.stat()
    if is_foreign(status):
        raise DataFolderError(f"`{target}` belongs to {owner_of(status)}; {remedy(status, target)}")
    if not _may_change(target):
        raise DataFolderError(
            f"`{target}` cannot be changed by user {user_name(os.geteuid())}; run this as {owner_of(status)}, or name "
            "another folder in --data"
        )


def _may_change(folder: Path) -> bool:
    """Tell whether this user may make and remove files in a folder."""
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=True)


def _require_empty(target: Path, hidden: Path) -> None:
    """Refuse a folder in which there is more than the hidden folder, and what was moved from there."""
    note = _note_of(hidden)
    ours = {target / _LOST_AND_FOUND, hidden, _lock_of(hidden), note}
    others = [each for each in target.iterdir() if each not in ours] if target.exists() else []
    if note.exists() and hidden.exists():
        # A restore was killed while it moved these.
        others = [each for each in others if (hidden / each.name).exists()]
    if others:
        raise DataFolderError(f"`{target}` is not empty; a backup is restored into an empty or a missing folder only")


@contextmanager
def restored_folder(target: Path) -> Iterator[RestoredFolder]:
    """Yield a new hidden folder, mode 0700; remove it when the block ends, unless it was published.

    What a killed restore has left is removed, unless it was complete. Raises DataFolderError if another restore is at
    work, and in the place of what the disk of the folder makes fail in the block.
    """
    require_empty(target)
    path = _hidden(target)
    taken = f"another restore is at work in `{path}`; wait for its end"
    with path_lock(_lock_of(path), taken):
        # Another restore may have ended meanwhile.
        require_empty(target)
        with _filling(path, target):
            yield RestoredFolder(path, target)


@contextmanager
def _filling(path: Path, target: Path) -> Iterator[None]:
    """Make the hidden folder, whose lock is held; see ``restored_folder``."""
    note = _note_of(path)
    try:
        if not path.exists():
            note.unlink(missing_ok=True)
        elif not note.exists():
            shutil.rmtree(path)
        path.mkdir(mode=0o700, exist_ok=True)
        yield
    except (OSError, DatabaseError, DependencyTimeoutException) as error:
        named = error.filename if isinstance(error, OSError) else None
        if named is not None and not Path(os.fsdecode(named)).is_relative_to(path):
            # The words for it name this file, such as the backup or a root key.
            raise
        raise DataFolderError(
            f"`{target}` cannot be restored: {_reason_of(error)}; see that its disk can be written, and has space and "
            f"inodes left. {_WHAT_IS_LEFT if note.exists() else 'Nothing was restored'}"
        ) from error
    finally:
        if not note.exists():
            shutil.rmtree(path, ignore_errors=True)


def _reason_of(error: BaseException) -> str:
    """Return what the system or the database said, from which an error was raised."""
    if isinstance(error, DatabaseError):
        return str(error.orig)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if error.__cause__ is None else _reason_of(error.__cause__)


def _hidden(target: Path) -> Path:
    """Return where the hidden folder is that a killed restore has left, or where it is to be."""
    inside, beside = target / ".restoring", target.parent / f".{target.name}.restoring"
    if inside.exists() or _note_of(inside).exists():
        return inside
    if beside.exists() and _note_of(beside).exists():
        return beside
    return inside if _is_kept(target) else beside


def _is_kept(target: Path) -> bool:
    """Tell whether a folder that is there cannot be replaced, or must not be because it is the current folder."""
    return target.is_mount() or (target.is_dir() and (target.samefile(Path.cwd()) or not _may_change(target.parent)))


def _lock_of(hidden: Path) -> Path:
    return hidden.with_name(hidden.name + ".lock")


def _note_of(hidden: Path) -> Path:
    return hidden.with_name(hidden.name + ".filled")


def _sync(path: Path) -> None:
    """Bring every file and folder below a path to disk."""
    for place, _, files in os.walk(path):
        for name in files:
            sync_path(Path(place, name))
        sync_path(Path(place))
