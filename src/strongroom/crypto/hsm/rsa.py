"""RSA keys in a token: PKCS #1 v1.5 signatures, PSS and OAEP (RFC 8017). What the public key does is done here."""

from typing import cast

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PSS
from cryptography.hazmat.primitives.serialization import load_der_public_key

from strongroom.crypto.hsm.key_kind import NewObject, UsableKey
from strongroom.crypto.hsm.private_keys import both_sign, digest_of, new_pair, private_key, use
from strongroom.crypto.key_encodings import load_private_key, spki
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.cryptoki import Attributes
from strongroom.crypto.pkcs11.mechanisms import Chosen, rsa_oaep, rsa_pss
from strongroom.crypto.pkcs11.return_codes import CryptokiError, Kind
from strongroom.crypto.software.rsa import SCHEMES, RsaPublicKey
from strongroom.errors import InvalidCiphertextException
from strongroom.keys.algorithms import EncryptionAlgorithm, MessageType, SigningAlgorithm

_EXPONENT = 65537
_MOST_BYTES = 1024
"""More bytes than a modulus has: some tokens write zeros before it."""
_PKCS1 = Chosen(c.CKM_RSA_PKCS)
_DIGEST_INFOS = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}
"""Hash → DER before the digest (RFC 8017, 9.2, note 1). Tokens pad what they are given, and do not hash it."""
_PSS = {
    "sha256": rsa_pss(c.CKM_SHA256, c.CKG_MGF1_SHA256, 32),
    "sha384": rsa_pss(c.CKM_SHA384, c.CKG_MGF1_SHA384, 48),
    "sha512": rsa_pss(c.CKM_SHA512, c.CKG_MGF1_SHA512, 64),
}
OAEP = {
    EncryptionAlgorithm.RSAES_OAEP_SHA_1: rsa_oaep(c.CKM_SHA_1, c.CKG_MGF1_SHA1),
    EncryptionAlgorithm.RSAES_OAEP_SHA_256: rsa_oaep(c.CKM_SHA256, c.CKG_MGF1_SHA256),
}
"""Algorithm → mechanism. OAEP and its mask have the same hash, and there is no label."""
_PROBE = b"does the key decrypt?"
# Tokens allow all uses of a private key that are not refused. An RSA key of KMS has one usage, which its spec does not
# tell, so it gets both; unwrapping would make keys of what Decrypt is to return.
_USES: Attributes = {c.CKA_SIGN: True, c.CKA_DECRYPT: True, c.CKA_UNWRAP: False}


class RsaKind:
    """RSA keys of a size, with the exponent 65537 (FIPS 186-5, A.1)."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def generate(self, calls: Calls) -> NewObject:
        """Have the token make a key pair, of this size and with this exponent."""
        public: Attributes = {
            c.CKA_KEY_TYPE: c.CKK_RSA,
            c.CKA_MODULUS_BITS: self._bits,
            c.CKA_PUBLIC_EXPONENT: _bytes(_EXPONENT),
            c.CKA_ENCRYPT: True,
        }

        def read(handle: int) -> bytes:
            modulus = int.from_bytes(calls.attribute(handle, c.CKA_MODULUS, _MOST_BYTES))
            exponent = int.from_bytes(calls.attribute(handle, c.CKA_PUBLIC_EXPONENT))
            if modulus.bit_length() != self._bits or exponent != _EXPONENT:
                raise CryptokiError("C_GenerateKeyPair", c.CKR_KEY_SIZE_RANGE)
            return spki(rsa.RSAPublicNumbers(exponent, modulus).public_key())

        return new_pair(calls, c.CKM_RSA_PKCS_KEY_PAIR_GEN, public, self.template(extractable=True), read)

    def create(self, calls: Calls, material: bytes) -> NewObject:
        """Make a key from PKCS #8, DER."""
        private = cast("rsa.RSAPrivateKey", load_private_key(material))
        numbers = private.private_numbers()
        values = {
            c.CKA_MODULUS: numbers.public_numbers.n,
            c.CKA_PUBLIC_EXPONENT: numbers.public_numbers.e,
            c.CKA_PRIVATE_EXPONENT: numbers.d,
            c.CKA_PRIME_1: numbers.p,
            c.CKA_PRIME_2: numbers.q,
            c.CKA_EXPONENT_1: numbers.dmp1,
            c.CKA_EXPONENT_2: numbers.dmq1,
            c.CKA_COEFFICIENT: numbers.iqmp,
        }
        made = {kind: _bytes(value) for kind, value in values.items()}
        handle = calls.create_object({**self.template(extractable=True), **made})
        return NewObject(handle, spki(private.public_key()))

    def template(self, *, extractable: bool) -> Attributes:
        """Return the attributes of a private key that signs and decrypts."""
        return private_key(c.CKK_RSA, _USES, extractable=extractable)

    def is_same(self, calls: Calls, first: int, second: int, public_key: bytes) -> bool:
        """Tell whether the signatures of two objects verify with the public key."""
        algorithm = SigningAlgorithm.RSASSA_PKCS1_V1_5_SHA_256
        return both_sign(self, calls, (first, second), public_key, algorithm)

    def backing_key(self, key: UsableKey, public_key: bytes) -> "HsmRsaKey":
        """Return a key that signs and decrypts in the token."""
        return HsmRsaKey(key, public_key)


class HsmRsaKey(RsaPublicKey):
    """An RSA key whose private half is in a token. To verify and to encrypt takes no call of it."""

    def __init__(self, key: UsableKey, public_key: bytes) -> None:
        public = cast("rsa.RSAPublicKey", load_der_public_key(public_key))
        super().__init__(public)
        self._key = key
        self._length = public.key_size // 8
        self._modulus = public.public_numbers().n

    def sign(self, message: bytes, kind: MessageType, algorithm: SigningAlgorithm) -> bytes:
        """Return the signature; raises as ``Token.run``."""
        scheme, hash_algorithm = SCHEMES[algorithm]
        data = digest_of(message, kind, hash_algorithm)
        if isinstance(scheme, PSS):
            mechanism = _PSS[hash_algorithm.name]
        else:
            mechanism, data = _PKCS1, _DIGEST_INFOS[hash_algorithm.name] + data
        return use(self._key, lambda calls, handle: calls.sign(handle, data, mechanism))

    def decrypt(self, ciphertext: bytes, algorithm: EncryptionAlgorithm) -> bytes:
        """Return the plaintext; raises InvalidCiphertextException, and as ``Token.run``."""
        # RFC 8017, 7.1.2, step 1, and 5.1.2, step 1. Tokens answer such input in many ways, some by ending the process.
        if len(ciphertext) != self._length or int.from_bytes(ciphertext) >= self._modulus:
            raise InvalidCiphertextException

        def work(calls: Calls, handle: int) -> bytes:
            try:
                return calls.decrypt(handle, ciphertext, OAEP[algorithm])
            except CryptokiError as error:
                # SoftHSM says GENERAL_ERROR of a ciphertext that is not valid, which elsewhere means that a token is
                # lost, and other tokens have other codes. So the key is tried on a ciphertext that is valid.
                if (
                    error.function != "C_Decrypt"
                    or error.kind is Kind.CALLER
                    or not self._works(calls, handle, algorithm)
                ):
                    raise
                raise CryptokiError("C_Decrypt", c.CKR_ENCRYPTED_DATA_INVALID) from None

        try:
            return self._key.run(work)
        except CryptokiError as error:
            if error.kind is not Kind.CALLER:
                raise
            raise InvalidCiphertextException from None

    def _works(self, calls: Calls, handle: int, algorithm: EncryptionAlgorithm) -> bool:
        try:
            return calls.decrypt(handle, self.encrypt(_PROBE, algorithm), OAEP[algorithm]) == _PROBE
        except CryptokiError:
            return False


def _bytes(number: int) -> bytes:
    """Return a Big integer of Cryptoki: unsigned, big-endian, without leading zeros."""
    return number.to_bytes((number.bit_length() + 7) // 8)
