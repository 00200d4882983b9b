"""Key files: 32 bytes that only the service's user can read.

Before a seal is added, the file is the root key itself. From then on it is the key under which the seal ``file`` wraps
the root key.
"""

import os
from pathlib import Path

import msgspec

from strongroom.crypto.envelope import KEY_LENGTH, Wrapper
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.seals.root_key import RootKey, RootKeySeal
from strongroom.entropy import Entropy
from strongroom.file_owners import is_foreign, owner_of, remedy
from strongroom.whole_files import create_file, open_regular

_FORMAT = "strongroom-root-key-v1"
_OTHERS = 0o077
_VERSION = 1


class _KeyFile(msgspec.Struct):
    """The file's content: JSON, the key in base64."""

    format: str
    key: bytes


class FileKeeper:
    """Wraps a root key under the key in a file."""

    def __init__(self, path: Path, entropy: Entropy) -> None:
        self._path = path
        self._entropy = entropy

    def wrap(self, root_key: bytes, binding: bytes) -> bytes:
        """Wrap a root key; raises UnsealError if the file cannot be used."""
        return self._wrapper().wrap(root_key, binding)

    def unwrap(self, wrapped: bytes, binding: bytes) -> bytes:
        """Return the root key; raises UnsealError if the file cannot be used, or is not the one that wrapped it."""
        wrapper = self._wrapper()
        try:
            return wrapper.unwrap(wrapped, binding)
        except UnsealError as error:
            raise UnsealError(f"`{self._path}` does not open it: {error}") from None

    def _wrapper(self) -> Wrapper:
        try:
            return Wrapper(load_key_file(self._path), _VERSION, self._entropy)
        except OSError as error:
            raise UnsealError(f"`{self._path}` cannot be read: {error.strerror}") from None


def create_key_file(path: Path, entropy: Entropy) -> None:
    """Write a new key to ``path``, mode 0600, on disk before this returns; raises FileExistsError.

    The file appears under its name only when it is whole, so that a crash never leaves half a key behind.
    """
    write_key_file(path, entropy(KEY_LENGTH))


def write_key_file(path: Path, key: bytes) -> None:
    """Write a key, 32 bytes, to a new file; see ``create_key_file``."""
    create_file(path, msgspec.json.encode(_KeyFile(format=_FORMAT, key=key)) + b"\n")


def load_key_file(path: Path) -> bytes:
    """Return the key in a file, 32 bytes.

    Raises UnsealError when it is not a key file, when it belongs to another user, who knows the key then, or when other
    users than its owner may read it; and OSError.
    """
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        if is_foreign(status):
            raise UnsealError(f"`{path}` belongs to {owner_of(status)}; {remedy(status, path)}")
        if status.st_mode & _OTHERS:
            raise UnsealError(f"`{path}` can be read by others; run: chmod 600 {path}")
        content = file.read()
    try:
        found = msgspec.json.decode(content, type=_KeyFile)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UnsealError(f"`{path}` is not a root key file; restore it from a backup") from None
    if found.format != _FORMAT or len(found.key) != KEY_LENGTH:
        raise UnsealError(f"`{path}` is not a root key file of this version; restore it from a backup")
    return found.key


def is_key_file(content: bytes) -> bool:
    """Tell whether this is the content of a key file, of whatever version."""
    try:
        msgspec.json.decode(content, type=_KeyFile)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def create_root_key(path: Path, entropy: Entropy) -> None:
    """Write the root key of a new deployment; see ``create_key_file``."""
    create_key_file(path, entropy)


def load_file_seal(path: Path, entropy: Entropy) -> RootKeySeal:
    """Return the seal of a root key that is in a file, as it is before other seals are added; see ``load_key_file``."""
    return RootKeySeal(RootKey(load_key_file(path)), entropy)
