"""The root key, and the seal that it makes: it seals the domain keys.

A rotation of the root key begins a new *generation*. The envelope of a sealed domain key has its generation where other
envelopes have the version of the wrapping key, so a domain key tells which root key opens it.
"""

import hmac

import msgspec
from typing_extensions import override

from strongroom.crypto.envelope import KEY_LENGTH, Wrapper, wrapping_version
from strongroom.crypto.seal import SealedDomainKey
from strongroom.entropy import Entropy

FIRST_GENERATION = 1


class RootKey(msgspec.Struct, frozen=True):
    """A root key, 32 bytes, and its generation."""

    key: bytes
    generation: int = FIRST_GENERATION

    @override
    def __repr__(self) -> str:
        return f"RootKey(generation {self.generation})"

    def mac(self, message: bytes) -> bytes:
        """Return a message authentication code under a key derived from the root key: HMAC-SHA-256 with SHA-256."""
        derived = hmac.digest(self.key, b"strongroom:seal-document", "sha256")
        return hmac.digest(derived, message, "sha256")


def new_root_key(entropy: Entropy, generation: int = FIRST_GENERATION) -> RootKey:
    """Make a root key."""
    return RootKey(entropy(KEY_LENGTH), generation)


class RootKeySeal:
    """Seals domain keys under a root key."""

    def __init__(self, root_key: RootKey, entropy: Entropy) -> None:
        self.root_key = root_key
        self._wrapper = Wrapper(root_key.key, root_key.generation, entropy)

    def seal(self, plaintext: bytes, binding: bytes) -> bytes:
        """Return ``plaintext`` sealed, bound to ``binding``."""
        return self._wrapper.wrap(plaintext, binding)

    def unseal(self, sealed: bytes, binding: bytes) -> bytes:
        """Return what was sealed; raises UnsealError if it was not sealed by this root key for ``binding``."""
        return self._wrapper.unwrap(sealed, binding)


def generation_of(record: SealedDomainKey) -> int:
    """Return the generation of the root key that has sealed a domain key; raises UnsealError if it is none."""
    return wrapping_version(record.sealed)


def temporary_seal(entropy: Entropy) -> RootKeySeal:
    """Return a seal under a new root key that exists in memory only."""
    return RootKeySeal(new_root_key(entropy), entropy)
