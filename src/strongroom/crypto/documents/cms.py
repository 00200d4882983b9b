"""CMS EnvelopedData (RFC 5652, 6) in the form AWS gives it as ``CiphertextForRecipient``.

One recipient, named by a subject key identifier, gets a fresh key by RSAES-OAEP with SHA-256 (RFC 4055, 4.1); the
content is under AES-256-CBC (RFC 3565). The frame is BER with indefinite lengths, not DER: that is what AWS sends, and
the parser of the Nitro Enclaves SDK reads only that.
"""

from hashlib import sha256
from typing import Annotated

from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.x509 import ObjectIdentifier

from strongroom.crypto.key_encodings import spki
from strongroom.entropy import Entropy
from strongroom.errors import ValidationException

_DATA = ObjectIdentifier("1.2.840.113549.1.7.1")
_ENVELOPED_DATA = ObjectIdentifier("1.2.840.113549.1.7.3")
_RSAES_OAEP = ObjectIdentifier("1.2.840.113549.1.1.7")
_MGF1 = ObjectIdentifier("1.2.840.113549.1.1.8")
_SHA256 = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_AES256_CBC = ObjectIdentifier("2.16.840.1.101.3.4.1.42")

_VERSION = 2
"""The version of EnvelopedData, and of a recipient that is named by its key (RFC 5652, 6.1 and 6.2.1)."""
_KEY_LENGTH, _BLOCK_LENGTH = 32, 16
_SEQUENCE, _CONTEXT_0 = 0x30, 0xA0


@asn1.sequence
class _Hash:
    algorithm: ObjectIdentifier
    parameters: asn1.Null


@asn1.sequence
class _MaskGeneration:
    algorithm: ObjectIdentifier
    parameters: _Hash


@asn1.sequence
class _OaepParameters:
    hash: Annotated[_Hash, asn1.Explicit(0)]
    mask_generation: Annotated[_MaskGeneration, asn1.Explicit(1)]


@asn1.sequence
class _KeyEncryption:
    algorithm: ObjectIdentifier
    parameters: _OaepParameters


@asn1.sequence
class _KeyTransRecipientInfo:
    version: int
    subject_key_identifier: Annotated[bytes, asn1.Implicit(0)]
    key_encryption: _KeyEncryption
    encrypted_key: bytes


@asn1.sequence
class _ContentEncryption:
    algorithm: ObjectIdentifier
    initialization_vector: bytes


_HASH = _Hash(algorithm=_SHA256, parameters=asn1.Null())
_KEY_ENCRYPTION = _KeyEncryption(
    algorithm=_RSAES_OAEP,
    parameters=_OaepParameters(hash=_HASH, mask_generation=_MaskGeneration(algorithm=_MGF1, parameters=_HASH)),
)
_OAEP = OAEP(MGF1(SHA256()), SHA256(), label=None)


def envelop(plaintext: bytes, recipient: RSAPublicKey, entropy: Entropy) -> bytes:
    """Return ``plaintext`` encrypted to a public key.

    Raises ValidationException for a public key that cannot encrypt.
    """
    key, vector = entropy(_KEY_LENGTH), entropy(_BLOCK_LENGTH)
    info = _KeyTransRecipientInfo(
        version=_VERSION,
        # RFC 7093, 2 (4): the SHA-256 of the SubjectPublicKeyInfo.
        subject_key_identifier=sha256(spki(recipient)).digest(),
        key_encryption=_KEY_ENCRYPTION,
        encrypted_key=_encrypt_key(key, recipient),
    )
    content = _framed(
        _SEQUENCE,
        asn1.encode_der(_DATA),
        asn1.encode_der(_ContentEncryption(algorithm=_AES256_CBC, initialization_vector=vector)),
        _framed(_CONTEXT_0, asn1.encode_der(_encrypt(plaintext, key, vector))),
    )
    enveloped = _framed(_SEQUENCE, asn1.encode_der(_VERSION), asn1.encode_der(asn1.SetOf([info])), content)
    return _framed(_SEQUENCE, asn1.encode_der(_ENVELOPED_DATA), _framed(_CONTEXT_0, enveloped))


def _encrypt_key(key: bytes, recipient: RSAPublicKey) -> bytes:
    try:
        return recipient.encrypt(key, _OAEP)
    except ValueError:
        # The key comes from outside. Its modulus can be even, for example.
        raise ValidationException("The public key in the attestation document cannot encrypt.") from None


def _encrypt(plaintext: bytes, key: bytes, vector: bytes) -> bytes:
    padder = PKCS7(8 * _BLOCK_LENGTH).padder()
    encryptor = Cipher(AES256(key), CBC(vector)).encryptor()
    return encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()


def _framed(tag: int, *parts: bytes) -> bytes:
    """Return a constructed value of indefinite length (X.690, 8.1.3.6)."""
    return b"".join((bytes((tag, 0x80)), *parts, b"\x00\x00"))
