"""Small files that appear under their names whole, mode 0600: no reader, and no start after a crash, sees half of one.

The content is written to a draft beside the file, ``NAME.new``. A process that is killed leaves the draft, and the next
one that writes the file removes it.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def replace_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file, in the place of one of that name if there is one; raises OSError.

    If it is to be ``durable``, content and name are on disk when this returns.
    """
    _write_draft(path, content, durable=durable).replace(path)
    if durable:
        sync_folder(path.parent)


def create_file(path: Path, content: bytes) -> None:
    """Write a new file, content and name on disk when this returns; raises FileExistsError, OSError."""
    draft = _write_draft(path, content, durable=True)
    # Unlike a rename, a link never replaces a file.
    os.link(draft, path)
    draft.unlink()
    sync_folder(path.parent)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read it; raises OSError for anything else.

    A pipe that has no writer would be waited for without end, and a device may have no end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path) -> bytes:
    """Return the content of a regular file; raises OSError as ``open_regular`` does."""
    with open_regular(path) as file:
        return file.read()


def sync_folder(path: Path) -> None:
    """Sync a folder, so that the names of its new files survive a power loss; raises OSError."""
    folder = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write_draft(path: Path, content: bytes, *, durable: bool) -> Path:
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    # A link that another user may have put there is not followed.
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    return draft
