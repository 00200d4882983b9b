"""The default seal: a root key in a file that only the service's user can read."""

import os
from pathlib import Path

import msgspec

from strongroom.crypto.envelope import KEY_LENGTH, Wrapper
from strongroom.crypto.seal import UnsealError
from strongroom.entropy import Entropy
from strongroom.file_owners import is_foreign, owner_of, remedy
from strongroom.whole_files import create_file, open_regular

_FORMAT = "strongroom-root-key-v1"
_OTHERS = 0o077


class _RootKeyFile(msgspec.Struct):
    """The file's content: JSON, the key in base64."""

    format: str
    key: bytes


class FileSeal:
    """Seals domain keys under the root key of one file."""

    def __init__(self, key: bytes, entropy: Entropy) -> None:
        self._wrapper = Wrapper(key, 1, entropy)

    def seal(self, plaintext: bytes, binding: bytes) -> bytes:
        """Return ``plaintext`` sealed, bound to ``binding``."""
        return self._wrapper.wrap(plaintext, binding)

    def unseal(self, sealed: bytes, binding: bytes) -> bytes:
        """Return what was sealed; raises UnsealError if it was not sealed by this root key for ``binding``."""
        return self._wrapper.unwrap(sealed, binding)


def create_root_key(path: Path, entropy: Entropy) -> None:
    """Write a new root key to ``path``, mode 0600, on disk before this returns; raises FileExistsError.

    The file appears under its name only when it is whole, so that a crash never leaves half a key behind.
    """
    content = msgspec.json.encode(_RootKeyFile(format=_FORMAT, key=entropy(KEY_LENGTH))) + b"\n"
    create_file(path, content)


def load_file_seal(path: Path, entropy: Entropy) -> FileSeal:
    """Return the seal of an existing root key file.

    Raises UnsealError when the file is not a root key file, when it belongs to another user, who knows the key then, or
    when other users than its owner may read it.
    """
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        if is_foreign(status):
            raise UnsealError(f"`{path}` belongs to {owner_of(status)}; {remedy(status, path)}")
        if status.st_mode & _OTHERS:
            raise UnsealError(f"`{path}` can be read by others; run: chmod 600 {path}")
        content = file.read()
    try:
        root = msgspec.json.decode(content, type=_RootKeyFile)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UnsealError(f"`{path}` is not a root key file; restore it from a backup") from None
    if root.format != _FORMAT or len(root.key) != KEY_LENGTH:
        raise UnsealError(f"`{path}` is not a root key file of this version; restore it from a backup")
    return FileSeal(root.key, entropy)


def temporary_seal(entropy: Entropy) -> FileSeal:
    """Return a seal under a new root key that exists in memory only."""
    return FileSeal(entropy(KEY_LENGTH), entropy)
