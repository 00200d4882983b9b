"""The key back end of key stores in AWS CloudHSM: each KMS key is an AES-256 key in a token, and never leaves it.

Such an object has the bytes of the material's id as its id (CKA_ID), and the ARN of the KMS key as its label. The
token that the store keeps is 0x12 and SHA-256 of what the material belongs to.

Body, suite 2, computed in the token::

    offset  length
    0       1       suite, 0x02
    1       1       length i of the initialization vector
    2       i       initialization vector, random, ours or the token's
    2+i     n + 16  ciphertext and tag: AES-256-GCM

Tokens limit the length of additional authenticated data, so it is SHA-256 of the suite and the data of the blob.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Protocol

from strongroom.crypto.backing_keys import BackingKey
from strongroom.crypto.binding import binding
from strongroom.crypto.cloudhsm.connections import unusable
from strongroom.crypto.custom_key_stores import CustomKeyStoreBackend
from strongroom.crypto.key_backend import KeyBackend
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.pkcs11.aes_keys import NotAuthenticError, TokenAesKey
from strongroom.crypto.pkcs11.token import Token
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.token_errors import TokenFaultError, TokenUnavailableError
from strongroom.entropy import Entropy
from strongroom.errors import (
    CustomKeyStoreInvalidStateException,
    InvalidCiphertextException,
    KMSInvalidStateException,
)
from strongroom.keys.arns import KeyLocator

_FORMAT = b"\x12"
_SUITE = b"\x02"


class FindToken(Protocol):
    """Finds the token of a custom key store."""

    def __call__(self, account: str, region: str, store_id: str, *, now: bool = False) -> Token:
        """Return it; raises KMSInvalidStateException unless the store is connected, in the database if ``now``."""
        ...


class CloudHsmKeyBackends:
    """The key back ends of all key stores in AWS CloudHSM, by the ids of the stores."""

    def __init__(self, find_token: FindToken, entropy: Entropy) -> None:
        self._find_token = find_token
        self._entropy = entropy

    def get(self, store_id: str, /) -> KeyBackend:
        """Return the back end of a store, whether the store is connected or not."""
        return CloudHsmKeyBackend(self._find_token, store_id, self._entropy)


class CloudHsmKeyBackend(CustomKeyStoreBackend):
    """Makes, uses and destroys the keys of one key store in AWS CloudHSM."""

    kind = "Key stores in AWS CloudHSM"

    def __init__(self, find_token: FindToken, store_id: str, entropy: Entropy) -> None:
        self._find_token = find_token
        self._store_id = store_id
        self._entropy = entropy

    def token_for(self, owner: MaterialBinding) -> bytes:
        """Return the token of a key that ``generate`` makes for ``owner``: the owner decides it."""
        return self._token(owner)

    def generate(self, owner: MaterialBinding) -> bytes:
        """Have the token make a key; raises CustomKeyStoreInvalidStateException unless the store is connected."""
        self.require_symmetric(owner.spec)
        try:
            key = self.key_in_token(owner)
        except KMSInvalidStateException as error:
            raise CustomKeyStoreInvalidStateException(error.message) from None
        key.create(_label(owner))
        return self._token(owner)

    def load(self, token: bytes, owner: MaterialBinding) -> BackingKey:
        """Return the key; the hardware is not called. Raises UnsealError if the token was not made for ``owner``."""
        self._require_own(token, owner)
        return _ClusterKey(self, owner, self._entropy)

    def destroy(self, token: bytes, owner: MaterialBinding) -> None:
        """Destroy the object in the token, if it is there; raises KMSInvalidStateException if that is out of reach."""
        self._require_own(token, owner)
        with self.reached():
            # The keeper destroys keys outside of calls.
            self.key_in_token(owner, now=True).destroy()

    def rewrap(self, token: bytes, owner: MaterialBinding) -> bytes:
        """Return the same token: it needs no domain key. Raises UnsealError as ``load`` does."""
        self._require_own(token, owner)
        return token

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Turn what a token that is away or lacks the key raises into KMSInvalidStateException."""
        try:
            yield
        except (TokenUnavailableError, TokenFaultError) as error:
            raise unusable(error, self._store_id) from None

    def key_in_token(self, owner: MaterialBinding, *, now: bool = False) -> TokenAesKey:
        """Return the key for one call; raises KMSInvalidStateException unless the store is connected."""
        token = self._find_token(owner.account, owner.region, self._store_id, now=now)
        return TokenAesKey(token, bytes.fromhex(owner.material_id), _label(owner))

    def _token(self, owner: MaterialBinding) -> bytes:
        named = (self._store_id, owner.account, owner.region, owner.key_id, owner.material_id, owner.spec.value)
        return _FORMAT + sha256(binding("cloudhsm-key", *named)).digest()

    def _require_own(self, token: bytes, owner: MaterialBinding) -> None:
        if token != self._token(owner):
            raise UnsealError("it names the object of another key, or of another key store")


class _ClusterKey:
    """A key of a store, which is connected or not when the key is used."""

    __slots__ = ("_backend", "_entropy", "_owner")

    def __init__(self, backend: CloudHsmKeyBackend, owner: MaterialBinding, entropy: Entropy) -> None:
        self._backend = backend
        self._owner = owner
        self._entropy = entropy

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return the body, 30 or 34 bytes longer than the plaintext; raises KMSInvalidStateException."""
        with self._backend.reached():
            key = self._backend.key_in_token(self._owner)
            return _SUITE + key.encrypt(plaintext, _digest(associated_data), self._entropy)

    def decrypt(self, body: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext; raises InvalidCiphertextException or KMSInvalidStateException."""
        if not body.startswith(_SUITE):
            raise InvalidCiphertextException
        with self._backend.reached():
            key = self._backend.key_in_token(self._owner)
            try:
                return key.decrypt(body[len(_SUITE) :], _digest(associated_data))
            except NotAuthenticError:
                raise InvalidCiphertextException from None


def not_connected(account: str, region: str, store_id: str, *, now: bool = False) -> Token:  # noqa: ARG001
    """Find no token: for commands that load keys and use none. Raises KMSInvalidStateException."""
    raise KMSInvalidStateException("The custom key store is not connected by this command.")


def _label(owner: MaterialBinding) -> str:
    return KeyLocator(owner.account, owner.region, owner.key_id).arn


def _digest(associated_data: bytes) -> bytes:
    return sha256(_SUITE + associated_data).digest()
