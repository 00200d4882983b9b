"""Small files that appear under their names whole, mode 0600: no reader, and no start after a crash, sees half of one.

The content is written to a draft beside the file, ``NAME.new``. A write that fails removes it: it may hold a secret. A
process that is killed leaves the draft, and the next one that writes the file removes it. Two writers of one file must
take turns: they would share the draft.
"""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_DRAFT = ".new"
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
"""What link(2) says of a file system without hard links."""


def replace_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file, in the place of one of that name if there is one; raises OSError.

    If it is to be ``durable``, content and name are on disk when this returns.
    """
    with _draft_of(path, content, durable=durable) as draft:
        draft.replace(path)
    if durable:
        sync_path(path.parent)


def create_file(path: Path, content: bytes) -> None:
    """Write a new file, content and name on disk when this returns; raises FileExistsError, OSError."""
    with _draft_of(path, content, durable=True) as draft:
        name_new(draft, path)
    sync_path(path.parent)


def write_named_file(path: Path, content: bytes, *, replace: bool) -> None:
    """Write a file that an operator has named, mode 0600, content and name on disk when this returns.

    It takes the place of one of that name only if it is to ``replace`` it. The folder is the operator's, so the draft
    has a name that no other file there has. Raises FileExistsError, OSError, both with the ``path``.
    """
    try:
        descriptor, name = tempfile.mkstemp(suffix=_DRAFT, prefix=".", dir=path.parent)
        draft = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            if replace:
                draft.replace(path)
            else:
                name_new(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        sync_path(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def name_new(draft: Path, path: Path) -> None:
    """Give a file another name, which must be free; raises FileExistsError, OSError. Its present name may be gone then.

    The name is not on disk yet: see ``sync_path``.
    """
    try:
        # Unlike a rename, a link never replaces a file.
        os.link(draft, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists() or path.is_symlink():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        draft.rename(path)


def link_new(source: Path, path: Path) -> None:
    """Give a file a second name, which must be free, or a copy of it where the file system has no hard links.

    Raises FileExistsError, OSError. The name is not on disk yet: see ``sync_path``.
    """
    try:
        os.link(source, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        create_file(path, read_regular(source))


def open_new(path: Path) -> BinaryIO:
    """Make a file, mode 0600, and open it to write to it; raises FileExistsError, OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def open_regular(path: Path, *, follow_link: bool = True) -> BinaryIO:
    """Open a regular file to read it; raises OSError for anything else.

    A pipe that has no writer would be waited for without end, and a device may have no end.
    """
    no_link = 0 if follow_link else os.O_NOFOLLOW
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | no_link)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path) -> bytes:
    """Return the content of a regular file; raises OSError as ``open_regular`` does."""
    with open_regular(path) as file:
        return file.read()


def sync_path(path: Path) -> None:
    """Sync a file, or the names of the files in a folder, so that they survive a power loss; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with named_errors(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Name the file in the error of a call that has only its descriptor."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


@contextmanager
def _draft_of(path: Path, content: bytes, *, durable: bool) -> Iterator[Path]:
    """Yield a draft with the content, to be given its name; remove what is left of it."""
    draft = path.with_name(f"{path.name}{_DRAFT}")
    draft.unlink(missing_ok=True)
    try:
        # A link that another user may have put there is not followed.
        with named_errors(draft), open_new(draft) as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)
