"""Data key pairs: asymmetric key pairs that are made for a caller and not kept."""

from typing import Protocol

import msgspec
from typing_extensions import override

from strongroom.keys.specs import KeySpec


class KeyPair(msgspec.Struct, frozen=True):
    """A data key pair for a caller: PKCS #8 (RFC 5958) and SubjectPublicKeyInfo, both DER."""

    private_key: bytes
    public_key: bytes

    @override
    def __repr__(self) -> str:
        return "KeyPair(...)"


class DataKeyPairs(Protocol):
    """Makes data key pairs."""

    def require_spec(self, spec: KeySpec) -> None:
        """Refuse a spec of which no pair may be made here; raises UnsupportedOperationException."""
        ...

    def generate(self, spec: KeySpec) -> KeyPair:
        """Make a data key pair and keep no copy of it."""
        ...
