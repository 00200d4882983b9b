"""The seal ``pkcs11``: the root key, encrypted by an AES-256 key that never leaves a hardware token.

The token is the one that the settings name. Parameters: ``object``, the id of the key in it (32 hex digits), and
``token``, its serial number, which is for people.
"""

from collections.abc import Mapping
from typing import Protocol

from strongroom.crypto.envelope import KeyWrapper
from strongroom.crypto.seal import UnsealError
from strongroom.entropy import Entropy


class SealToken(Protocol):
    """A hardware token that keeps keys of seals."""

    def seal_key(self, object_id: bytes, entropy: Entropy) -> KeyWrapper:
        """Return what wraps with a key in the token; its methods raise as those of ``RootKeyKeeper``."""
        ...


class Pkcs11Keeper:
    """Has a token wrap a root key."""

    def __init__(self, parameters: Mapping[str, str | int], token: SealToken | None, entropy: Entropy) -> None:
        self._object = str(parameters.get("object", ""))
        self._token = token
        self._entropy = entropy

    def wrap(self, root_key: bytes, binding: bytes) -> bytes:
        """Return a root key wrapped; raises as ``RootKeyKeeper`` says."""
        return self._key().wrap(root_key, binding)

    def unwrap(self, wrapped: bytes, binding: bytes) -> bytes:
        """Return the root key; raises as ``RootKeyKeeper`` says."""
        return self._key().unwrap(wrapped, binding)

    def _key(self) -> KeyWrapper:
        if self._token is None:
            raise UnsealError("it is opened by a hardware token; name it in the setting `pkcs11-module`")
        try:
            return self._token.seal_key(bytes.fromhex(self._object), self._entropy)
        except ValueError:
            raise UnsealError("its parameters are damaged") from None
