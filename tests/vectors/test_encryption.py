"""Published vectors of RSA OAEP, HMAC, and the primitives of our symmetric formats."""

import base64

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from published import Vector, vectors
from strongroom.crypto.software.hmac_key import HmacBackingKey
from strongroom.crypto.software.rsa import RsaBackingKey
from strongroom.errors import InvalidCiphertextException, KMSInvalidMacException
from strongroom.keys.algorithms import EncryptionAlgorithm
from strongroom.keys.specs import KeySpec


@vectors("rsa_oaep_2048_sha1_mgf1sha1")
def test_rsa_oaep_sha_1(vector: Vector) -> None:
    _oaep(vector, EncryptionAlgorithm.RSAES_OAEP_SHA_1)


@vectors("rsa_oaep_2048_sha256_mgf1sha256", "rsa_oaep_3072_sha256_mgf1sha256", "rsa_oaep_4096_sha256_mgf1sha256")
def test_rsa_oaep_sha_256(vector: Vector) -> None:
    _oaep(vector, EncryptionAlgorithm.RSAES_OAEP_SHA_256)


def _oaep(vector: Vector, algorithm: EncryptionAlgorithm) -> None:
    """A ciphertext with a label is refused, since AWS KMS has no labels."""
    key = RsaBackingKey(base64.b64decode(vector.key["privateKeyPkcs8"]))
    ciphertext = vector.values["ct"]
    if vector.valid and not vector.values["label"]:
        assert key.decrypt(ciphertext, algorithm) == vector.values["msg"]
        other = next(each for each in (_SHA_1, _SHA_256) if each is not algorithm)
        assert key.decrypt(key.encrypt(vector.values["msg"], algorithm), algorithm) == vector.values["msg"]
        with pytest.raises(InvalidCiphertextException):
            key.decrypt(ciphertext, other)
    else:
        with pytest.raises(InvalidCiphertextException):
            key.decrypt(ciphertext, algorithm)


_SHA_1, _SHA_256 = EncryptionAlgorithm.RSAES_OAEP_SHA_1, EncryptionAlgorithm.RSAES_OAEP_SHA_256


@vectors("hmac_sha224")
def test_hmac_sha_224(vector: Vector) -> None:
    _hmac(vector, KeySpec.HMAC_224)


@vectors("hmac_sha256")
def test_hmac_sha_256(vector: Vector) -> None:
    _hmac(vector, KeySpec.HMAC_256)


@vectors("hmac_sha384")
def test_hmac_sha_384(vector: Vector) -> None:
    _hmac(vector, KeySpec.HMAC_384)


@vectors("hmac_sha512")
def test_hmac_sha_512(vector: Vector) -> None:
    _hmac(vector, KeySpec.HMAC_512)


def _hmac(vector: Vector, spec: KeySpec) -> None:
    """A truncated tag is refused, even if its bytes are correct."""
    key, message, tag = HmacBackingKey(vector.values["key"], spec), vector.values["msg"], vector.values["tag"]
    if vector.valid:
        assert key.mac(message)[: len(tag)] == tag
    if vector.valid and len(tag) == len(key.mac(message)):
        key.verify_mac(message, tag)
    else:
        with pytest.raises(KMSInvalidMacException):
            key.verify_mac(message, tag)


# Our formats fix what vectors vary: the label of a derived key, and the associated data of a ciphertext. So vectors
# test the primitives, and tests/unit/crypto/test_aes.py tests our format against the primitives. test_golden.py tests
# the whole format with an implementation that shares no code with ours.


@vectors("kbkdf_ctr_hmac_sha256")
def test_kbkdf(vector: Vector) -> None:
    kdf = KBKDFHMAC(
        algorithm=SHA256(),
        mode=Mode.CounterMode,
        length=32,
        rlen=4,
        llen=None,
        location=CounterLocation.BeforeFixed,
        label=None,
        context=None,
        fixed=vector.values["fixed"],
    )
    assert kdf.derive(vector.values["key"]) == vector.values["output"]


@vectors("aes_gcm")
def test_aes_gcm(vector: Vector) -> None:
    values, aead = vector.values, AESGCM(vector.values["key"])
    sealed = values["ct"] + values["tag"]
    if vector.valid:
        assert aead.encrypt(values["iv"], values["msg"], values["aad"]) == sealed
        assert aead.decrypt(values["iv"], sealed, values["aad"]) == values["msg"]
    else:
        with pytest.raises(InvalidTag):
            aead.decrypt(values["iv"], sealed, values["aad"])


@vectors("aes_kwp")
def test_aes_key_wrap_with_padding(vector: Vector) -> None:
    key, wrapped = vector.values["key"], vector.values["ct"]
    if vector.valid:
        assert aes_key_wrap_with_padding(key, vector.values["msg"]) == wrapped
        assert aes_key_unwrap_with_padding(key, wrapped) == vector.values["msg"]
    else:
        with pytest.raises(InvalidUnwrap):
            aes_key_unwrap_with_padding(key, wrapped)
