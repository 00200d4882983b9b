"""What kinds of private keys in a token have in common: their attributes, how a pair is made, and what is signed."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from cryptography.hazmat.primitives.hashes import Hash, HashAlgorithm

from strongroom.crypto.backing_keys import SigningKey
from strongroom.crypto.hsm.key_kind import NewObject, UsableKey
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.cryptoki import Attributes
from strongroom.crypto.pkcs11.return_codes import CryptokiError, Kind
from strongroom.crypto.token_errors import TokenFaultError
from strongroom.errors import KMSInvalidSignatureException
from strongroom.keys.algorithms import MessageType, SigningAlgorithm

T = TypeVar("T")

_PROBE = b"is it the same key?"


class SigningKind(Protocol):
    """A kind of keys that sign."""

    def backing_key(self, key: UsableKey, public_key: bytes) -> SigningKey:
        """Return a key that is ready to use."""
        ...


class HeldKey:
    """A ``UsableKey``: an object in a token, in use by one session."""

    def __init__(self, calls: Calls, handle: int) -> None:
        self._calls = calls
        self._handle = handle

    def run(self, work: Callable[[Calls, int], T]) -> T:
        """Run work with the calls of the session and the handle of the key; raises CryptokiError."""
        return work(self._calls, self._handle)


def private_key(key_type: int, uses: Attributes, *, extractable: bool) -> Attributes:
    """Return the attributes of a private key: a session object, sensitive, with the uses that it is to have."""
    return {
        c.CKA_CLASS: c.CKO_PRIVATE_KEY,
        c.CKA_KEY_TYPE: key_type,
        c.CKA_TOKEN: False,
        c.CKA_PRIVATE: True,
        c.CKA_SENSITIVE: True,
        c.CKA_EXTRACTABLE: extractable,
        **uses,
    }


def new_pair(
    calls: Calls, mechanism: int, public: Attributes, private: Attributes, read: Callable[[int], bytes]
) -> NewObject:
    """Have the token make a key pair, of which only the private key stays there; raises CryptokiError.

    ``read`` returns the SubjectPublicKeyInfo of the public key, by its handle.
    """
    made = {**public, c.CKA_CLASS: c.CKO_PUBLIC_KEY, c.CKA_TOKEN: False, c.CKA_PRIVATE: False, c.CKA_VERIFY: True}
    public_handle, handle = calls.generate_key_pair(made, private, mechanism)
    public_key = read(public_handle)
    calls.destroy_object(public_handle)
    return NewObject(handle, public_key)


def both_sign(
    kind: SigningKind, calls: Calls, objects: tuple[int, int], public_key: bytes, algorithm: SigningAlgorithm
) -> bool:
    """Tell whether the signatures of two objects verify with a public key; raises CryptokiError."""
    for handle in objects:
        key = kind.backing_key(HeldKey(calls, handle), public_key)
        try:
            key.verify(_PROBE, MessageType.RAW, algorithm, key.sign(_PROBE, MessageType.RAW, algorithm))
        except KMSInvalidSignatureException:
            return False
    return True


def use(key: UsableKey, work: Callable[[Calls, int], T]) -> T:
    """Use a key with valid data; raises as ``UsableKey.run``, but TokenFaultError if the token refuses the data."""
    try:
        return key.run(work)
    except CryptokiError as error:
        if error.kind is not Kind.CALLER:
            raise
        raise TokenFaultError(str(error)) from None


def digest_of(message: bytes, kind: MessageType, algorithm: HashAlgorithm) -> bytes:
    """Return what is signed of a message: its hash, which it may be already. Tokens never get the message."""
    if kind is MessageType.DIGEST:
        return message
    hashing = Hash(algorithm)
    hashing.update(message)
    return hashing.finalize()
