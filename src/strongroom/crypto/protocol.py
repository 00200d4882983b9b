"""What the service asks of whoever holds its keys.

Nothing here returns a key's bytes, so that a hardware token which never releases one can stand behind every Protocol.
A vault hands out *tokens*, opaque byte strings that the store keeps for it: wrapped key material, or the name of an
object inside the hardware. Only the vault that made a token can turn it into a usable ``BackingKey`` again, and only
under the same binding.
"""

from typing import Protocol, TypeAlias

import msgspec
from typing_extensions import override

from strongroom.keys.algorithms import EncryptionAlgorithm, MessageType, SigningAlgorithm
from strongroom.keys.specs import KeySpec
from strongroom.keys.wrapping import WrappingAlgorithm, WrappingKeySpec


class MaterialBinding(msgspec.Struct, frozen=True):
    """What a piece of key material belongs to; authenticated, so that a token moved to another key does not load."""

    account: str
    region: str
    key_id: str
    material_id: str
    spec: KeySpec


class MaterialOwner(msgspec.Struct, frozen=True):
    """The key that a piece of key material is going to belong to."""

    account: str
    region: str
    key_id: str
    spec: KeySpec

    def binding(self, material_id: str) -> MaterialBinding:
        """Return what material of that id is bound to."""
        return MaterialBinding(self.account, self.region, self.key_id, material_id, self.spec)


class WrappingKey(msgspec.Struct, frozen=True):
    """A key pair to import key material with: the vault's token for it, and its SubjectPublicKeyInfo, DER."""

    token: bytes
    public_key: bytes


class WrappedMaterial(msgspec.Struct, frozen=True):
    """Key material as its owner sends it: under which wrapping key, how, and the encrypted bytes."""

    wrapping_token: bytes
    algorithm: WrappingAlgorithm
    encrypted: bytes


class ImportedMaterial(msgspec.Struct, frozen=True):
    """Key material that was imported: its id and the vault's token for it.

    The id (64 hex digits) is a digest of the key id and the material, so that the same material is known again, in
    every Region of related multi-Region keys.
    """

    material_id: str
    token: bytes


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


class SymmetricKey(Protocol):
    """A SYMMETRIC_DEFAULT backing key, ready to use."""

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return the body of a ciphertext blob, at most 64 bytes longer than ``plaintext``."""
        ...

    def decrypt(self, body: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext; raises InvalidCiphertextException unless all of it is authentic."""
        ...


class MacKey(Protocol):
    """An HMAC key; its spec says which hash."""

    def mac(self, message: bytes) -> bytes:
        """Return the tag of a message."""
        ...

    def verify_mac(self, message: bytes, mac: bytes) -> None:
        """Raise KMSInvalidMacException unless the tag is the message's."""
        ...


class AsymmetricKey(Protocol):
    """A private key, with its public key for everyone."""

    def public_key(self) -> bytes:
        """Return the public key as SubjectPublicKeyInfo, DER (RFC 5280, 4.1.2.7)."""
        ...


class SigningKey(AsymmetricKey, Protocol):
    """A private key that signs. Messages have been checked against their type and algorithm."""

    def sign(self, message: bytes, kind: MessageType, algorithm: SigningAlgorithm) -> bytes:
        """Return the signature; ECDSA's is DER (RFC 3279, 2.2.3)."""
        ...

    def verify(self, message: bytes, kind: MessageType, algorithm: SigningAlgorithm, signature: bytes) -> None:
        """Raise KMSInvalidSignatureException unless the signature is the message's."""
        ...


class DecryptionKey(AsymmetricKey, Protocol):
    """A private key that decrypts what its public key encrypted."""

    def encrypt(self, plaintext: bytes, algorithm: EncryptionAlgorithm) -> bytes:
        """Return the ciphertext of a plaintext that is short enough."""
        ...

    def decrypt(self, ciphertext: bytes, algorithm: EncryptionAlgorithm) -> bytes:
        """Return the plaintext; raises InvalidCiphertextException."""
        ...


class AgreementKey(AsymmetricKey, Protocol):
    """A private key that agrees on a secret with the holder of another."""

    def agree(self, public_key: bytes) -> bytes:
        """Return the raw shared secret with a peer, by its SubjectPublicKeyInfo.

        Raises ValidationException unless that is a valid public key on the same curve.
        """
        ...


class EncapsulationKey(AsymmetricKey, Protocol):
    """A private key that opens secrets encapsulated for it."""

    def encapsulate(self) -> tuple[bytes, bytes]:
        """Return a fresh 32-byte secret and its ciphertext."""
        ...

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """Return the secret; raises InvalidCiphertextException for a wrong length.

        A ciphertext of the right length that was not made for this key gives a secret nobody else has: implicit
        rejection (FIPS 203, 6.3).
        """
        ...


PrivateKey: TypeAlias = SigningKey | DecryptionKey | AgreementKey | EncapsulationKey
"""A private key, for whatever its spec is good for."""

BackingKey: TypeAlias = SymmetricKey | MacKey | PrivateKey
"""One piece of key material, ready to use. Which of these it is follows from its spec."""


class KeyPair(msgspec.Struct, frozen=True):
    """A data key pair for a caller: PKCS #8 (RFC 5958) and SubjectPublicKeyInfo, both DER."""

    private_key: bytes
    public_key: bytes

    @override
    def __repr__(self) -> str:
        return "KeyPair(...)"


class Vault(Protocol):
    """Makes, loads and destroys key material."""

    def generate(self, owner: MaterialBinding) -> bytes:
        """Make new key material and return its token."""
        ...

    def wrapping_key(self, spec: WrappingKeySpec, owner: MaterialOwner) -> WrappingKey:
        """Make a key pair for one key's material to be imported with."""
        ...

    def import_material(self, wrapped: WrappedMaterial, owner: MaterialOwner) -> ImportedMaterial:
        """Unwrap key material, check it and keep it.

        Raises InvalidCiphertextException when it does not unwrap, IncorrectKeyMaterialException when it is not of the
        owner's spec, and UnsealError if the wrapping token was not made for ``owner``.
        """
        ...

    def load(self, token: bytes, owner: MaterialBinding) -> BackingKey:
        """Return the key behind a token; raises UnsealError if the token was not made for ``owner``."""
        ...

    def replicate(self, token: bytes, owner: MaterialBinding, region: str) -> bytes:
        """Return a token for the same material of a multi-Region key in another Region; nothing else of it differs.

        Raises UnsealError if the token was not made for ``owner``, or the key is not a multi-Region key: the material
        of all others never leaves its Region.
        """
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

    def key_pair(self, spec: KeySpec) -> KeyPair:
        """Make a data key pair: nothing of it stays here."""
        ...


class UnsealError(Exception):
    """A sealed or wrapped value does not open: damaged, foreign, or moved to another place. Always a fault."""
