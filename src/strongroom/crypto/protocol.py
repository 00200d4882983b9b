"""What the service asks of whoever holds its keys.

Nothing here returns a key's bytes, so that a hardware token which never releases one can stand behind every Protocol.
A vault hands out *tokens*, opaque byte strings that the store keeps for it: wrapped key material, or the name of an
object inside the hardware. Only the vault that made a token can turn it into a usable ``BackingKey`` again, and only
under the same binding.
"""

from typing import Protocol

import msgspec

from strongroom.keys.specs import KeySpec


class MaterialBinding(msgspec.Struct, frozen=True):
    """What a piece of key material belongs to; authenticated, so that a token moved to another key does not load."""

    account: str
    region: str
    key_id: str
    material_id: str
    spec: KeySpec


class SealedDomainKey(msgspec.Struct, frozen=True):
    """A domain key as it is kept: for one scope (a Region, or ``iam``), numbered, sealed by the root key."""

    scope: str
    version: int
    sealed: bytes


class Seal(Protocol):
    """The root of trust: seals the domain keys, and only those."""

    def seal(self, plaintext: bytes, binding: bytes) -> bytes:
        """Return ``plaintext`` sealed, bound to ``binding``."""
        ...

    def unseal(self, sealed: bytes, binding: bytes) -> bytes:
        """Return what was sealed; raises UnsealError if it was not sealed by this root key for ``binding``."""
        ...


class BackingKey(Protocol):
    """One piece of symmetric key material, ready to use."""

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return the body of a ciphertext blob, at most 64 bytes longer than ``plaintext``."""
        ...

    def decrypt(self, body: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext; raises InvalidCiphertextException unless all of it is authentic."""
        ...


class Vault(Protocol):
    """Makes, loads and destroys key material."""

    def generate(self, owner: MaterialBinding) -> bytes:
        """Make new key material and return its token."""
        ...

    def load(self, token: bytes, owner: MaterialBinding) -> BackingKey:
        """Return the key behind a token; raises UnsealError if the token was not made for ``owner``."""
        ...

    def destroy(self, token: bytes, owner: MaterialBinding) -> None:
        """Forget the material behind a token, where the vault keeps any; the store erases the token itself."""
        ...

    def wrap_secret(self, secret: bytes, bound_to: bytes) -> bytes:
        """Return a small secret of the service (an access key's), wrapped for the store."""
        ...

    def unwrap_secret(self, wrapped: bytes, bound_to: bytes) -> bytes:
        """Return the secret; raises UnsealError if it was not wrapped here for ``bound_to``."""
        ...

    def random(self, length: int) -> bytes:
        """Return ``length`` random bytes for data keys and GenerateRandom."""
        ...


class UnsealError(Exception):
    """A sealed or wrapped value does not open: damaged, foreign, or moved to another place. Always a fault."""
