"""Ciphertexts in files: one in each."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from strongroom.reencryption.items import MAX_ENCODED, ItemError, PlaceError
from strongroom.whole_files import open_regular, sync_path

_DRAFT = ".strongroom-migrating"
_ACL = "system.posix_acl_access"
_A_LINK = "it is a link, or no regular file: name the file itself"


class FileItem:
    """A ciphertext that is the whole content of a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def key(self) -> str:
        """The path, as it was found."""
        return os.fspath(self._path)

    def read(self) -> bytes:
        """Return the content; raises ItemError."""
        try:
            with open_regular(self._path, follow_link=False) as file:
                content = file.read(MAX_ENCODED + 1)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ItemError(_A_LINK) from None
            raise ItemError(f"it cannot be read: {error.strerror}") from None
        if len(content) > MAX_ENCODED:
            raise ItemError(f"it has more than {MAX_ENCODED} bytes, so it is no ciphertext blob")
        return content

    def replace(self, old: bytes, new: bytes) -> None:
        """Replace the file by a new one with the same owner and mode, which is on disk before; raises ItemError."""
        try:
            before = self._path.lstat()
            if not stat.S_ISREG(before.st_mode):
                raise ItemError(_A_LINK)
            if before.st_nlink > 1:
                raise ItemError("it has several names (hard links), of which one alone would be replaced")
            with self._draft(new, before) as draft:
                if self.read() != old:
                    raise ItemError("it was changed meanwhile")
                draft.replace(self._path)
            sync_path(self._path.parent)
        except OSError as error:
            raise ItemError(f"it cannot be replaced: {error.strerror}") from None

    @contextmanager
    def _draft(self, content: bytes, like: os.stat_result) -> Iterator[Path]:
        """Yield a file beside this one with a content that is on disk; remove what is left of it.

        No two runs have the same draft: one would give its name to what the other has half written.
        """
        descriptor, name = tempfile.mkstemp(suffix=_DRAFT, prefix=".", dir=self._path.parent)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
                mine = os.fstat(descriptor)
                if (mine.st_uid, mine.st_gid) != (like.st_uid, like.st_gid):
                    os.fchown(descriptor, like.st_uid, like.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
                self._copy_attributes(descriptor)
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            yield Path(name)
        finally:
            with suppress(OSError):
                Path(name).unlink(missing_ok=True)

    def _copy_attributes(self, draft: int) -> None:
        """Give a draft the extended attributes of the file, access control lists among them; raises OSError."""
        try:
            names, made = os.listxattr(self._path, follow_symlinks=False), os.listxattr(draft)
        except OSError as error:
            if error.errno == errno.ENOTSUP:
                return
            raise
        if _ACL in made and _ACL not in names:
            # The folder gives one to new files.
            os.removexattr(draft, _ACL)
        for name in names:
            value = os.getxattr(self._path, name, follow_symlinks=False)
            # Only root may set some, which a new file may have from the start.
            if name not in made or os.getxattr(draft, name) != value:
                os.setxattr(draft, name, value)


class Files:
    """The files that are named, and all regular files below the folders that are named. Links are not followed.

    Files that are ``left_out``, by their names after all links, are no items, nor are further names of them.
    """

    def __init__(self, paths: Sequence[Path], left_out: Sequence[Path] = ()) -> None:
        self._paths = paths
        self._left_out = left_out
        self._names = {each.name for each in left_out}

    @property
    def name(self) -> str:
        """The paths."""
        return " ".join(os.fspath(path) for path in self._paths)

    def items(self) -> Iterator[FileItem]:
        """Return the files in the order of their names, folder by folder; raises PlaceError."""
        same = {(status.st_dev, status.st_ino) for status in map(_status, self._left_out) if status is not None}
        for path in self._found():
            status = _status(path)
            if status is None or not ((status.st_dev, status.st_ino) in same or self._is_left_out(path)):
                yield FileItem(path)

    def _found(self) -> Iterator[Path]:
        for path in self._paths:
            if path.is_dir() and not path.is_symlink():
                for folder, folders, names in os.walk(path, onerror=_refuse):
                    folders.sort()
                    for name in sorted(names):
                        found = Path(folder, name)
                        if not name.endswith(_DRAFT) and _is_regular(found):
                            yield found
            else:
                yield path

    def _is_left_out(self, path: Path) -> bool:
        """Tell whether a file that may be newer than this run has a name that is left out."""
        return path.name in self._names and path.resolve() in self._left_out


def _status(path: Path) -> os.stat_result | None:
    """Return the status of a file or link, None if that cannot be learned: to read it says why."""
    try:
        return path.lstat()
    except OSError:
        return None


def _is_regular(path: Path) -> bool:
    """Tell whether there is a regular file. It may be gone since its folder was read."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _refuse(error: OSError) -> None:
    raise PlaceError(f"`{os.fsdecode(error.filename)}` cannot be read: {error.strerror}")
