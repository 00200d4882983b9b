"""Files of backups: each appears under its name when it is whole, on disk and checked; and how many are kept.

Until then a file is hidden, is named ``.NAME.partial`` and is locked by the process that writes it. What a killed
process has left is removed by the next one that writes to the same folder.
"""

import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from strongroom.assembly.data_folder import DataFolderError
from strongroom.backup.blocks import MAGIC as PLAIN_MAGIC
from strongroom.backup.file_names import dated_name, too_many
from strongroom.crypto.age.stream import MAGIC as AGE_MAGIC
from strongroom.whole_files import name_new, open_regular, sync_path

_PARTIAL = ".partial"
_DATED_PARTIAL = re.compile(r"\.strongroom-[0-9a-f]+-[0-9TZ-]+\.backup(\.age)?\.partial")


@contextmanager
def partial_file(target: Path) -> Iterator[BinaryIO]:
    """Yield a new hidden file beside ``target``, mode 0600, to write and read. It is removed when the block ends.

    Raises DataFolderError if another process is writing it.
    """
    path = target.with_name(f".{target.name}{_PARTIAL}")
    _remove_abandoned(target.parent, path.name)
    try:
        descriptor = _new_locked(path)
    except FileExistsError:
        raise DataFolderError(f"another process is writing `{target}`; choose another --to") from None
    with os.fdopen(descriptor, "w+b") as file:
        try:
            yield file
        finally:
            with suppress(FileNotFoundError):
                path.unlink()


def publish(target: Path) -> None:
    """Give the hidden file beside ``target`` its name; raises DataFolderError if there is a file of that name."""
    path = target.with_name(f".{target.name}{_PARTIAL}")
    try:
        name_new(path, target)
    except FileExistsError:
        raise _taken(target) from None
    sync_path(target.parent)


def require_free(target: Path) -> None:
    """Refuse a name that is taken; raises DataFolderError."""
    if target.exists():
        raise _taken(target)


def _taken(target: Path) -> DataFolderError:
    return DataFolderError(f"`{target}` exists already; name another file in --to, or a folder")


def new_dated_path(folder: Path, deployment: str, now: float, *, encrypted: bool) -> Path:
    """Return the path of a new dated backup in a folder."""
    again = 0
    while (path := folder / dated_name(deployment, now, encrypted=encrypted, again=again)).exists():
        again += 1
    return path


def oldest(
    folder: Path, names: Iterable[str], deployment: str, keep: int, ranks: Mapping[str, int], newest: Path
) -> list[Path]:
    """Return a deployment's dated backups in a folder that are not among the ``keep`` newest, the oldest first.

    ``names`` are those in the folder; ``ranks`` are as in ``too_many``. ``newest`` is the backup that is being made. A
    file that does not begin as a backup is left alone. A backup has its name only if it was complete.
    """
    found = [folder / name for name in too_many(names, deployment, keep, newest.name, ranks)]
    return [path for path in found if path.is_file() and not path.is_symlink() and _begins_as_backup(path)]


def remove(folder: Path, files: Iterable[Path]) -> list[Path]:
    """Remove files of a folder; return those that were still there. Raises OSError."""
    removed = []
    for path in files:
        # A person may have removed it meanwhile.
        with suppress(FileNotFoundError):
            path.unlink()
            removed.append(path)
    sync_path(folder)
    return removed


def _new_locked(path: Path) -> int:
    """Create a file, locked; return its descriptor. Raises FileExistsError."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        # Before it was locked, another process took it for one that a killed process has left, and removed it.
        os.close(descriptor)


def _begins_as_backup(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            return file.read(len(AGE_MAGIC)).startswith((AGE_MAGIC, PLAIN_MAGIC))
    except FileNotFoundError:
        return False


def _remove_abandoned(folder: Path, name: str) -> None:
    """Remove hidden files that no process has locked: the one of this name, and those of dated backups."""
    for path in folder.iterdir():
        if path.name != name and not _DATED_PARTIAL.fullmatch(path.name):
            continue
        if path.is_symlink() or not path.is_file():
            # Not ours. Opening a pipe would wait for its writer.
            continue
        try:
            with path.open("rb") as file:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except (BlockingIOError, FileNotFoundError, PermissionError):
            # It is being written, was removed meanwhile, or belongs to another user.
            continue
