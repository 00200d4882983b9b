"""Typed calls of a Cryptoki module in one session. Each is one or two functions; buffers are large enough at once.

All raise CryptokiError. A session in which a call has failed may still have an operation open, so it is closed then.
"""

import ctypes
from contextlib import suppress
from ctypes import byref, c_ulong, create_string_buffer
from enum import StrEnum

from strongroom.crypto.pkcs11.constants import (
    CKA_KEY_TYPE,
    CKA_NSS_DB,
    CKK_EC,
    CKM_AES_GCM,
    CKM_AES_KEY_GEN,
    CKM_SHA256,
    CKM_SHA256_HMAC,
    CKR_ATTRIBUTE_SENSITIVE,
    CKR_ATTRIBUTE_TYPE_INVALID,
    CKR_BUFFER_TOO_SMALL,
    CKR_ENCRYPTED_DATA_INVALID,
    CKR_FUNCTION_FAILED,
    CKR_GENERAL_ERROR,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_TEMPLATE_INCOMPLETE,
)
from strongroom.crypto.pkcs11.cryptoki import Attributes, FunctionList, GcmParameters, Mechanism, Template
from strongroom.crypto.pkcs11.mechanisms import Chosen
from strongroom.crypto.pkcs11.return_codes import REFUSALS, CryptokiError

_TAG_LENGTH = 16
_SLACK = 64
"""Bytes of a buffer beyond what is expected: padding, a tag, or an initialization vector at the end."""
_OBJECTS_AT_ONCE = 64
_UNREADABLE = frozenset({CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_BUFFER_TOO_SMALL})
_MOST_OUTPUT = 1024
"""Bytes of the longest signature or decrypted plaintext: more than an RSA modulus has."""
_IV_LENGTH = 12
_APPENDED_IV_LENGTH = 16


class IvSource(StrEnum):
    """Where the initialization vector of AES-GCM comes from. Some tokens refuse one that they have not drawn."""

    OURS = "ours"
    PARAMETER = "token"
    """The token writes it into the parameter, which is zero before (AWS CloudHSM)."""
    APPENDED = "token-appended"
    """The token appends 16 bytes to the ciphertext, and the parameter has none (Thales Luna with FIPS restrictions)."""


class Calls:
    """The calls of one session. Use it from one thread at a time."""

    def __init__(self, functions: FunctionList, session: int) -> None:
        self.session = session
        self._call = functions.call

    # --- objects

    def create_object(self, attributes: Attributes) -> int:
        """Make an object of known values; return its handle."""
        template, handle = Template(attributes), c_ulong()
        self._call("CreateObject", self.session, template.array, template.length, byref(handle))
        return handle.value

    def generate_key(self, attributes: Attributes, mechanism: int = CKM_AES_KEY_GEN) -> int:
        """Have the token make a secret key; return its handle."""
        template, handle = Template(attributes), c_ulong()
        chosen = Mechanism(mechanism, None, 0)
        self._call("GenerateKey", self.session, byref(chosen), template.array, template.length, byref(handle))
        return handle.value

    def generate_key_pair(self, public: Attributes, private: Attributes, mechanism: int) -> tuple[int, int]:
        """Have the token make a key pair; return the handles of the public key and of the private key."""
        chosen, first, second = Mechanism(mechanism, None, 0), Template(public), Template(private)
        public_handle, private_handle = c_ulong(), c_ulong()
        self._call(
            *("GenerateKeyPair", self.session, byref(chosen)),
            *(first.array, first.length, second.array, second.length, byref(public_handle), byref(private_handle)),
        )
        return public_handle.value, private_handle.value

    def destroy_object(self, handle: int) -> None:
        """Destroy an object."""
        self._call("DestroyObject", self.session, handle)

    def find_objects(self, attributes: Attributes, most: int | None = None) -> list[int]:
        """Return the handles of all objects with these attributes that the session can see.

        With ``most``, it may stop when it has so many.
        """
        template = Template(attributes)
        self._call("FindObjectsInit", self.session, template.array, template.length)
        found, some, number = list[int](), (c_ulong * _OBJECTS_AT_ONCE)(), c_ulong()
        while most is None or len(found) < most:
            # The search has ended when it gives none, and not before (section 5.7).
            self._call("FindObjects", self.session, some, _OBJECTS_AT_ONCE, byref(number))
            if not number.value:
                break
            found += some[: number.value]
        self._call("FindObjectsFinal", self.session)
        return found

    def attribute(self, handle: int, kind: int, length: int = 512) -> bytes:
        """Return the value of an attribute of at most ``length`` bytes."""
        template = Template({kind: bytes(length)})
        self._call("GetAttributeValue", self.session, handle, template.array, 1)
        return ctypes.string_at(template.array[0].value, template.array[0].length)

    def attribute_or_none(self, handle: int, kind: int) -> bytes | None:
        """Return the value of an attribute; None if the object has none, or one that is longer than 512 bytes.

        So are many objects of other programs.
        """
        try:
            return self.attribute(handle, kind)
        except CryptokiError as error:
            if error.code not in _UNREADABLE:
                raise
            return None

    # --- cryptography

    def seal_gcm(
        self, key: int, iv: bytes, associated_data: bytes, plaintext: bytes, source: IvSource
    ) -> tuple[bytes, bytes]:
        """Encrypt by AES-GCM (NIST SP 800-38D); return the initialization vector that was used, and ciphertext and tag.

        ``iv`` is used if it is to be ours.

        A token that is to draw one, and uses zeros, is refused: MECHANISM_PARAM_INVALID.
        """
        given = {IvSource.OURS: iv, IvSource.PARAMETER: bytes(_IV_LENGTH), IvSource.APPENDED: b""}[source]
        gcm = _Gcm(given, associated_data)
        self._call("EncryptInit", self.session, byref(gcm.mechanism), key)
        output, found = self._output("Encrypt", plaintext, len(plaintext) + _TAG_LENGTH), gcm.iv()
        if source is IvSource.APPENDED:
            output, found = output[:-_APPENDED_IV_LENGTH], output[-_APPENDED_IV_LENGTH:]
        if len(output) != len(plaintext) + _TAG_LENGTH or not any(found):
            raise CryptokiError("C_Encrypt", CKR_MECHANISM_PARAM_INVALID)
        return found, output

    def decrypt_gcm(self, key: int, iv: bytes, associated_data: bytes, ciphertext: bytes) -> bytes:
        """Return the plaintext of ciphertext and tag.

        What is not authentic raises CryptokiError with ENCRYPTED_DATA_INVALID. SoftHSM says GENERAL_ERROR then, which
        elsewhere means that a token is lost. So after such an answer the key is tried on something that is authentic.
        """
        try:
            return self._decrypt_gcm(key, iv, associated_data, ciphertext)
        except CryptokiError as error:
            if error.code not in {CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED} or not self._works(key, iv):
                raise
            raise CryptokiError("C_Decrypt", CKR_ENCRYPTED_DATA_INVALID) from None

    def _decrypt_gcm(self, key: int, iv: bytes, associated_data: bytes, ciphertext: bytes) -> bytes:
        gcm = _Gcm(iv, associated_data)
        self._call("DecryptInit", self.session, byref(gcm.mechanism), key)
        return self._output("Decrypt", ciphertext, len(ciphertext))

    def _works(self, key: int, iv: bytes) -> bool:
        """Tell whether a key decrypts what it encrypts. The ciphertext is dropped, so its vector may be any."""
        for source in IvSource:
            try:
                found, ciphertext = self.seal_gcm(key, iv, b"", b"", source)
                return self._decrypt_gcm(key, found, b"", ciphertext) == b""
            except CryptokiError as error:
                if error.code in {CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED}:
                    return False
        return False

    def mac(self, key: int, message: bytes, mechanism: int = CKM_SHA256_HMAC) -> bytes:
        """Return a message authentication code: HMAC (FIPS 198-1)."""
        chosen = Mechanism(mechanism, None, 0)
        self._call("SignInit", self.session, byref(chosen), key)
        return self._output("Sign", message, 64)

    def sign(self, key: int, data: bytes, mechanism: Chosen) -> bytes:
        """Return what a mechanism makes of data with a private key: a signature, without hashing the data."""
        self._call("SignInit", self.session, byref(mechanism.structure), key)
        return self._output("Sign", data, _MOST_OUTPUT)

    def decrypt(self, key: int, ciphertext: bytes, mechanism: Chosen) -> bytes:
        """Return the plaintext of a ciphertext that a public key has made."""
        self._call("DecryptInit", self.session, byref(mechanism.structure), key)
        return self._output("Decrypt", ciphertext, _MOST_OUTPUT)

    def derive_key(self, key: int, attributes: Attributes, mechanism: Chosen) -> int:
        """Derive a key from another one into a new object; return its handle."""
        template, handle = Template(attributes), c_ulong()
        self._call(
            *("DeriveKey", self.session, byref(mechanism.structure), key),
            *(template.array, template.length, byref(handle)),
        )
        return handle.value

    def wrap_key(self, wrapping_key: int, key: int, mechanism: int) -> bytes:
        """Return a key, wrapped under another one by a mechanism without parameters."""
        chosen, wrapped = Mechanism(mechanism, None, 0), create_string_buffer(1 << 14)
        length = c_ulong(len(wrapped))
        self._call("WrapKey", self.session, byref(chosen), wrapping_key, key, wrapped, byref(length))
        return wrapped.raw[: length.value]

    def unwrap_key(self, wrapping_key: int, wrapped: bytes, attributes: Attributes, mechanism: int | Chosen) -> int:
        """Unwrap a key into a new object; return its handle. A mechanism without parameters is given by its number."""
        chosen = Chosen(mechanism) if isinstance(mechanism, int) else mechanism
        try:
            return self._unwrap_key(wrapping_key, wrapped, attributes, chosen)
        except CryptokiError as error:
            if error.code != CKR_TEMPLATE_INCOMPLETE or attributes.get(CKA_KEY_TYPE) != CKK_EC:
                raise
            # NSS unwraps an elliptic-curve key only if it is told an id for its database, where a session object
            # does not come. The value is not looked at. Other tokens refuse the attribute.
            return self._unwrap_key(wrapping_key, wrapped, {**attributes, CKA_NSS_DB: b"\0"}, chosen)

    def _unwrap_key(self, wrapping_key: int, wrapped: bytes, attributes: Attributes, chosen: Chosen) -> int:
        template, handle = Template(attributes), c_ulong()
        self._call(
            *("UnwrapKey", self.session, byref(chosen.structure), wrapping_key, wrapped, len(wrapped)),
            *(template.array, template.length, byref(handle)),
        )
        return handle.value

    def digest_key(self, before: bytes, key: int, after: bytes = b"") -> bytes:
        """Return SHA-256 over bytes, the value of a secret key, and bytes. The value stays in the token."""
        chosen = Mechanism(CKM_SHA256, None, 0)
        self._call("DigestInit", self.session, byref(chosen))
        try:
            self._digest(before)
            self._call("DigestKey", self.session, key)
            self._digest(after)
        except CryptokiError:
            # The caller may go on in another way, in this session.
            with suppress(CryptokiError):
                self._digested()
            raise
        return self._digested()

    def _digest(self, data: bytes) -> None:
        if data:
            self._call("DigestUpdate", self.session, data, len(data))

    def _digested(self) -> bytes:
        digest, length = create_string_buffer(32), c_ulong(32)
        self._call("DigestFinal", self.session, digest, byref(length))
        return digest.raw

    def is_refusal(self, error: CryptokiError) -> bool:
        """Tell whether a failure says that a token does not have something, and not that it is away or full.

        Some modules say GENERAL_ERROR, as of a lost connection, for whatever they do not have; they go on answering.
        """
        if error.kind in REFUSALS:
            return True
        if error.code != CKR_GENERAL_ERROR:
            return False
        try:
            self.random(1)
        except CryptokiError:
            return False
        return True

    def random(self, length: int) -> bytes:
        """Return random bytes of the token."""
        drawn = create_string_buffer(length)
        self._call("GenerateRandom", self.session, drawn, length)
        return drawn.raw

    def _output(self, name: str, data: bytes, expected: int) -> bytes:
        output = create_string_buffer(expected + _SLACK)
        length = c_ulong(len(output))
        self._call(name, self.session, data, len(data), output, byref(length))
        return output.raw[: length.value]


class _Gcm:
    """The mechanism AES-GCM with its parameters. It owns what C reads, so keep it until the call ends."""

    def __init__(self, iv: bytes, associated_data: bytes) -> None:
        self._iv = create_string_buffer(iv, max(len(iv), 1))
        self._length = len(iv)
        self._aad = create_string_buffer(associated_data, max(len(associated_data), 1))
        self._parameters = GcmParameters(
            *(ctypes.addressof(self._iv) if iv else None, len(iv), 8 * len(iv)),
            *(ctypes.addressof(self._aad), len(associated_data), 8 * _TAG_LENGTH),
        )
        self.mechanism = Mechanism(CKM_AES_GCM, ctypes.addressof(self._parameters), ctypes.sizeof(self._parameters))

    def iv(self) -> bytes:
        """Return the initialization vector, as the token may have written it."""
        return self._iv.raw[: self._length]
