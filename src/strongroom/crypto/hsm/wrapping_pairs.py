"""Wrapping key pairs in a token: RSA keys by whose private half the token unwraps key material that is imported.

RSAES_OAEP (RFC 8017, 7.1) is one C_UnwrapKey. RSA_AES_KEY_WRAP is two: the AES key by RSAES_OAEP, then the material
under that key by AES key wrap with padding (RFC 5649). So neither is ever outside of the token. Tokens with
CKM_RSA_AES_KEY_WRAP have the other two as well.

A pair only unwraps. It can leave the token wrapped, when it is made, and not when it is used.
"""

import hmac
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import load_der_public_key
from typing_extensions import override

from strongroom.crypto.hsm.private_keys import private_key
from strongroom.crypto.hsm.rsa import OAEP, RsaKind
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.cryptoki import Attributes
from strongroom.crypto.pkcs11.return_codes import CryptokiError, Kind
from strongroom.crypto.software.rsa import RsaPublicKey
from strongroom.crypto.token_errors import TokenFaultError
from strongroom.errors import InvalidCiphertextException, ValidationException
from strongroom.keys.wrapping import KEY_WRAPPING, OAEP_OF, WRAPPING_AES_KEY_LENGTH, WrappingAlgorithm

_NOT_THE_DATA = {Kind.HANDLE, Kind.FULL, Kind.STOP}
_BLOCK = 8
"""Bytes of a block of RFC 5649."""
_KNOWN_KEY, _KNOWN_TEXT = bytes(range(32, 64)), b"does the pair unwrap?"
_USES: Attributes = {c.CKA_SIGN: False, c.CKA_DECRYPT: False, c.CKA_UNWRAP: True}
_SECRET: Attributes = {
    c.CKA_CLASS: c.CKO_SECRET_KEY,
    c.CKA_KEY_TYPE: c.CKK_GENERIC_SECRET,
    c.CKA_TOKEN: False,
    c.CKA_PRIVATE: True,
    c.CKA_SENSITIVE: True,
    c.CKA_EXTRACTABLE: False,
    c.CKA_SIGN: True,
}
"""The attributes of material that is only looked at, whatever it is."""
# SoftHSM does not tell the length of a key that it has unwrapped, but that of what it has wrapped.
_AES: Attributes = {
    **_SECRET,
    c.CKA_KEY_TYPE: c.CKK_AES,
    c.CKA_EXTRACTABLE: True,
    c.CKA_SIGN: False,
    c.CKA_UNWRAP: True,
}


@contextmanager
def held(calls: Calls, handle: int) -> Iterator[int]:
    """Destroy a session object at the end."""
    try:
        yield handle
    finally:
        with suppress(CryptokiError):
            calls.destroy_object(handle)


class UnderKey:
    """A wrapping key of the token, in use: RFC 5649 under it, with the number that the mechanism has there."""

    def __init__(self, calls: Calls, handle: int, mechanism: int) -> None:
        self.handle = handle
        self.mechanism = mechanism
        self._calls = calls

    def wrapped_length(self, key: int) -> int:
        """Return how many bytes a key has, up to the next multiple of 8; raises CryptokiError."""
        return len(self._calls.wrap_key(self.handle, key, self.mechanism)) - _BLOCK


class WrappingPair:
    """A pair whose private half is in the token now, for one wrapping algorithm. All methods raise CryptokiError."""

    def __init__(self, calls: Calls, handle: int, public_key: bytes, algorithm: WrappingAlgorithm) -> None:
        self._calls = calls
        self._handle = handle
        public = cast("rsa.RSAPublicKey", load_der_public_key(public_key))
        self._public = RsaPublicKey(public)
        self._modulus = public.public_numbers().n
        self._length = public.key_size // 8
        self._algorithm = algorithm

    def unwrap(self, encrypted: bytes, attributes: Attributes, under: UnderKey) -> int:
        """Unwrap what was encrypted for this pair into a new object; return its handle.

        ``under`` is any wrapping key of the token. Raises InvalidCiphertextException for what cannot have been
        encrypted for this pair: tokens answer to some of that as if they had failed.
        """
        block, rest = encrypted, b""
        if self._algorithm in KEY_WRAPPING:
            block, rest = encrypted[: self._length], encrypted[self._length :]
            if len(rest) < 2 * _BLOCK or len(rest) % _BLOCK:
                raise InvalidCiphertextException
        if len(block) != self._length or int.from_bytes(block) >= self._modulus:
            raise InvalidCiphertextException
        if self._algorithm not in KEY_WRAPPING:
            return self._oaep(block, attributes)
        with held(self._calls, self._oaep(block, _AES)) as key:
            if self._aes_length(key, under) != WRAPPING_AES_KEY_LENGTH:
                raise InvalidCiphertextException
            return self._calls.unwrap_key(key, rest, attributes, under.mechanism)

    def works(self) -> bool:
        """Tell whether a known key that is encrypted for this pair comes out of it."""
        encrypted = self._public.encrypt(_KNOWN_KEY, OAEP_OF[self._algorithm])
        with held(self._calls, self._oaep(encrypted, _SECRET)) as handle:
            found = self._calls.mac(handle, _KNOWN_TEXT)
        return hmac.compare_digest(found, hmac.digest(_KNOWN_KEY, _KNOWN_TEXT, "sha256"))

    def wrap_here(self, material: bytes) -> bytes:
        """Return material as its owner would encrypt it, for trials with material that protects nothing."""
        if self._algorithm not in KEY_WRAPPING:
            return self._public.encrypt(material, OAEP_OF[self._algorithm])
        wrapped = aes_key_wrap_with_padding(_KNOWN_KEY, material)
        return self._public.encrypt(_KNOWN_KEY, OAEP_OF[self._algorithm]) + wrapped

    @contextmanager
    def blaming_the_data(self, error: Exception) -> Iterator[None]:
        """Raise ``error`` if calls fail, unless the token fails with data that are valid too.

        SoftHSM says GENERAL_ERROR of data that are not valid, which elsewhere means that a token is lost, and other
        tokens have other codes.
        """
        try:
            yield
        except (CryptokiError, TokenFaultError, ValidationException) as failed:
            if isinstance(failed, CryptokiError) and failed.kind in _NOT_THE_DATA:
                raise
            if not self._is_well():
                raise
            raise error from None

    def _is_well(self) -> bool:
        try:
            return self.works()
        except CryptokiError:
            return False

    def _oaep(self, block: bytes, attributes: Attributes) -> int:
        return self._calls.unwrap_key(self._handle, block, attributes, OAEP[OAEP_OF[self._algorithm]])

    def _aes_length(self, key: int, under: UnderKey) -> int:
        return told_length(self._calls, key) or under.wrapped_length(key)


class Sent:
    """Key material as its owner has sent it, encrypted for a wrapping key pair."""

    def __init__(self, calls: Calls, pair: WrappingPair, under: UnderKey, encrypted: bytes) -> None:
        """``under`` is the key that the material is to be wrapped under in its turn."""
        self.pair = pair
        self.under = under
        self._calls = calls
        self._encrypted = encrypted

    def unwrap(self, attributes: Attributes) -> int:
        """Unwrap it into a new object; raises as ``WrappingPair.unwrap``."""
        return self.pair.unwrap(self._encrypted, attributes, self.under)

    def is_valid(self) -> bool:
        """Tell whether it was encrypted for the pair, whatever it is, after it did not unwrap to a private key."""
        try:
            with held(self._calls, self.unwrap(_SECRET)):
                return True
        except CryptokiError as error:
            # NSS says TEMPLATE_INCONSISTENT of a secret that is longer than 256 bytes.
            return error.kind is Kind.FAULT and error.code != c.CKR_FUNCTION_FAILED

    def digest(self, before: bytes) -> bytes:
        """Return SHA-256 over bytes and the material, which may be of any kind; raises as ``WrappingPair.unwrap``."""
        with held(self._calls, self.unwrap(_SECRET)) as handle:
            return self._calls.digest_key(before, handle)


class WrappingPairKind(RsaKind):
    """Wrapping key pairs of a size, for an algorithm."""

    def __init__(self, bits: int, algorithm: WrappingAlgorithm) -> None:
        super().__init__(bits)
        self._algorithm = algorithm

    @override
    def template(self, *, extractable: bool) -> Attributes:
        """Return the attributes of a private key that unwraps."""
        return private_key(c.CKK_RSA, _USES, extractable=extractable)

    @override
    def is_same(self, calls: Calls, first: int, second: int, public_key: bytes) -> bool:
        """Tell whether both objects unwrap what is encrypted by the public key."""
        return all(self.pair(calls, each, public_key).works() for each in (first, second))

    def pair(self, calls: Calls, handle: int, public_key: bytes) -> WrappingPair:
        """Return a pair that is to be used now."""
        return WrappingPair(calls, handle, public_key, self._algorithm)


def told_length(calls: Calls, key: int) -> int:
    """Return the length of a secret key in bytes; 0 if the token does not tell it."""
    try:
        value = calls.attribute(key, c.CKA_VALUE_LEN)
    except CryptokiError as error:
        if error.kind is not Kind.FAULT:
            raise
        return 0
    return int.from_bytes(value, sys.byteorder)
