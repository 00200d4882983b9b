"""Keys on prime curves in a token: ECDSA (FIPS 186-5, 6) and ECDH (SP 800-56A, 5.7.1.2). Signatures verify here."""

from typing import cast

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from strongroom.crypto.hsm.key_kind import NewObject, UsableKey
from strongroom.crypto.hsm.private_keys import both_sign, digest_of, new_pair, private_key, use
from strongroom.crypto.key_encodings import load_private_key, spki
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.cryptoki import Attributes
from strongroom.crypto.pkcs11.mechanisms import Chosen, ecdh
from strongroom.crypto.pkcs11.return_codes import CryptokiError, Kind
from strongroom.crypto.software.elliptic import HASHES, EllipticPublicKey
from strongroom.errors import ValidationException
from strongroom.keys.algorithms import MessageType, SigningAlgorithm
from strongroom.keys.specs import KeySpec

_ECDSA = Chosen(c.CKM_ECDSA)


class Curve(msgspec.Struct, frozen=True):
    """A curve: its object identifier (RFC 5480, DER), the hash that it signs with, and whether its keys agree."""

    curve: ec.EllipticCurve
    identifier: bytes
    algorithm: SigningAlgorithm
    agrees: bool = True

    @property
    def length(self) -> int:
        """Bytes of a coordinate."""
        return _coordinate(self.curve)


P256 = Curve(ec.SECP256R1(), bytes.fromhex("06082a8648ce3d030107"), SigningAlgorithm.ECDSA_SHA_256)
P384 = Curve(ec.SECP384R1(), bytes.fromhex("06052b81040022"), SigningAlgorithm.ECDSA_SHA_384)
P521 = Curve(ec.SECP521R1(), bytes.fromhex("06052b81040023"), SigningAlgorithm.ECDSA_SHA_512)
SECP256K1 = Curve(ec.SECP256K1(), bytes.fromhex("06052b8104000a"), SigningAlgorithm.ECDSA_SHA_256, agrees=False)
CURVES = {
    KeySpec.ECC_NIST_P256: P256,
    KeySpec.ECC_NIST_P384: P384,
    KeySpec.ECC_NIST_P521: P521,
    KeySpec.ECC_SECG_P256K1: SECP256K1,
}


class EllipticKind:
    """Keys on one curve."""

    def __init__(self, curve: Curve) -> None:
        self._curve = curve

    def generate(self, calls: Calls) -> NewObject:
        """Have the token make a key pair."""
        public: Attributes = {c.CKA_KEY_TYPE: c.CKK_EC, c.CKA_EC_PARAMS: self._curve.identifier}
        return new_pair(
            *(calls, c.CKM_EC_KEY_PAIR_GEN, public, self.template(extractable=True)),
            lambda handle: self._public_key(calls.attribute(handle, c.CKA_EC_POINT)),
        )

    def create(self, calls: Calls, material: bytes) -> NewObject:
        """Make a key from PKCS #8, DER."""
        private = cast("ec.EllipticCurvePrivateKey", load_private_key(material))
        made = {
            **self.template(extractable=True),
            c.CKA_EC_PARAMS: self._curve.identifier,
            c.CKA_VALUE: private.private_numbers().private_value.to_bytes(self._curve.length),
        }
        return NewObject(calls.create_object(made), spki(private.public_key()))

    def template(self, *, extractable: bool) -> Attributes:
        """Return the attributes of a private key that signs and, where AWS KMS has that, agrees.

        Decryption and unwrapping are not named: these keys have no mechanisms for them, and hardware of the Cavium
        family refuses a template that names them for such a key.
        """
        uses: Attributes = {c.CKA_SIGN: True, c.CKA_DERIVE: self._curve.agrees}
        return private_key(c.CKK_EC, uses, extractable=extractable)

    def is_same(self, calls: Calls, first: int, second: int, public_key: bytes) -> bool:
        """Tell whether the signatures of two objects verify with the public key."""
        return both_sign(self, calls, (first, second), public_key, self._curve.algorithm)

    def backing_key(self, key: UsableKey, public_key: bytes) -> "HsmEllipticKey":
        """Return a key that signs and agrees in the token."""
        return HsmEllipticKey(key, public_key)

    def _public_key(self, point: bytes) -> bytes:
        """Return the SubjectPublicKeyInfo of a point: uncompressed (SEC 1, 2.3.3), perhaps as a DER octet string.

        The standard has the octet string; some tokens give the point itself.
        """
        uncompressed = point[-(1 + 2 * self._curve.length) :]
        try:
            public = ec.EllipticCurvePublicKey.from_encoded_point(self._curve.curve, uncompressed)
        except ValueError:
            raise CryptokiError("C_GenerateKeyPair", c.CKR_FUNCTION_FAILED) from None
        return spki(public)


class HsmEllipticKey(EllipticPublicKey):
    """A key on a prime curve whose private half is in a token. To verify takes no call of it."""

    def __init__(self, key: UsableKey, public_key: bytes) -> None:
        super().__init__(cast("ec.EllipticCurvePublicKey", load_der_public_key(public_key)))
        self._key = key
        self._length = _coordinate(self._public.curve)

    def sign(self, message: bytes, kind: MessageType, algorithm: SigningAlgorithm) -> bytes:
        """Return the signature, DER; raises as ``Token.run``."""
        digest = digest_of(message, kind, HASHES[algorithm])

        def work(calls: Calls, handle: int) -> bytes:
            signed = calls.sign(handle, digest, _ECDSA)
            # Cryptoki puts r and s together, each as long as the order (Current Mechanisms 3.1, section 6.3.1).
            half = self._length
            if len(signed) != 2 * half:
                raise CryptokiError("C_Sign", c.CKR_FUNCTION_FAILED)
            return encode_dss_signature(int.from_bytes(signed[:half]), int.from_bytes(signed[half:]))

        return use(self._key, work)

    def agree(self, public_key: bytes) -> bytes:
        """Return the x-coordinate of the shared point; raises ValidationException, and as ``Token.run``.

        The secret leaves the token, because the caller gets it. The object that had it is destroyed.
        """
        point = self.peer(public_key).public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        secret: Attributes = {
            c.CKA_CLASS: c.CKO_SECRET_KEY,
            c.CKA_KEY_TYPE: c.CKK_GENERIC_SECRET,
            c.CKA_TOKEN: False,
            c.CKA_SENSITIVE: False,
            c.CKA_EXTRACTABLE: True,
            c.CKA_VALUE_LEN: self._length,
        }

        def work(calls: Calls, handle: int) -> bytes:
            derived = calls.derive_key(handle, secret, ecdh(point))
            value = calls.attribute(derived, c.CKA_VALUE)
            calls.destroy_object(derived)
            if len(value) != self._length:
                raise CryptokiError("C_DeriveKey", c.CKR_FUNCTION_FAILED)
            return value

        try:
            return self._key.run(work)
        except CryptokiError as error:
            if error.kind is not Kind.CALLER:
                raise
            # The token refuses the point.
            raise ValidationException(None) from None


def _coordinate(curve: ec.EllipticCurve) -> int:
    return (curve.key_size + 7) // 8
