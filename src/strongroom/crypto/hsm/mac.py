"""HMAC keys in a token."""

from cryptography.hazmat.primitives.constant_time import bytes_eq

from strongroom.crypto.backing_keys import BackingKey
from strongroom.crypto.hsm.key_kind import UsableKey
from strongroom.crypto.hsm.secret_keys import SecretKind, mac_by
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.software.hmac_key import hmac_key_length
from strongroom.errors import KMSInvalidMacException
from strongroom.keys.specs import KeySpec

_MECHANISMS = {
    KeySpec.HMAC_224: c.CKM_SHA224_HMAC,
    KeySpec.HMAC_256: c.CKM_SHA256_HMAC,
    KeySpec.HMAC_384: c.CKM_SHA384_HMAC,
    KeySpec.HMAC_512: c.CKM_SHA512_HMAC,
}


class MacKind(SecretKind):
    """Keys for HMAC with the hash of their spec. New ones are as long as the tag."""

    def __init__(self, spec: KeySpec) -> None:
        super().__init__(_MECHANISMS[spec], hmac_key_length(spec))

    def backing_key(self, key: UsableKey, _public_key: bytes) -> BackingKey:
        """Return a key for HMAC."""
        return _MacKey(key, self._mechanism)


class _MacKey:
    __slots__ = ("_key", "_mechanism")

    def __init__(self, key: UsableKey, mechanism: int) -> None:
        self._key = key
        self._mechanism = mechanism

    def mac(self, message: bytes) -> bytes:
        """Return the tag of a message; raises as ``Token.run``."""
        return mac_by(self._key, message, self._mechanism)

    def verify_mac(self, message: bytes, mac: bytes) -> None:
        """Raise KMSInvalidMacException unless the tag is the message's, compared in constant time."""
        if not bytes_eq(self.mac(message), mac):
            raise KMSInvalidMacException(None)
