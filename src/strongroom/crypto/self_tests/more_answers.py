"""The known-answer tests of what passphrases, backups and recipients need. The vectors are short, so they are here.

Argon2id, scrypt and ChaCha20-Poly1305 are not approved, and a FIPS provider has none of them. What needs them then says
so when it is used, so a process serves without them.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from strongroom.crypto.self_tests.vectors import Vector

_CBC = {
    "key": "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
    "plaintext": "6bc1bee22e409f96e93d7e117393172a",
    "ciphertext": "f58c4c04d6e5f1ba779eabfb5f7bfbd6",
}
"""NIST SP 800-38A, F.2.5, the first block; the initialization vector is 00 to 0f."""
_PBKDF2 = "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
"""RFC 7914, 11: ``passwd``, ``salt``, one round; the first 32 bytes."""
_HKDF = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
"""RFC 5869, A.1."""
_ARGON2ID = "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"
"""Test vectors of the reference implementation (github.com/P-H-C/phc-winner-argon2, ``src/test.c``): ``password``,
``somesalt``, two passes, 256 KiB, one lane. OpenSSL starts a thread for each lane but the first, and a process that may
start none must still be able to say so; the vector of RFC 9106 has four lanes."""
_SCRYPT = (
    "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
    "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906"
)
"""RFC 7914, 12: empty passphrase and salt, N = 16, r = p = 1."""
_CHACHA20 = {
    "nonce": "070000004041424344454647",
    "aad": "50515253c0c1c2c3c4c5c6c7",
    "sealed": (
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b"
        "1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
        "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"
    ),
}
"""RFC 8439, 2.8.2; the key is 80 to 9f."""
_ADVICE = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    b"sunscreen would be it."
)


def aes_cbc(_vectors: Mapping[str, Vector]) -> bool:
    """Test AES-256-CBC, in which recipients get what is encrypted for them."""
    encryptor = Cipher(AES256(bytes.fromhex(_CBC["key"])), CBC(bytes(range(16)))).encryptor()
    return (encryptor.update(bytes.fromhex(_CBC["plaintext"])) + encryptor.finalize()).hex() == _CBC["ciphertext"]


def pbkdf2(_vectors: Mapping[str, Vector]) -> bool:
    """Test PBKDF2 with HMAC-SHA-256, for passphrases of seals."""
    return PBKDF2HMAC(SHA256(), 32, b"salt", 1).derive(b"passwd").hex() == _PBKDF2


def hkdf(_vectors: Mapping[str, Vector]) -> bool:
    """Test HKDF with SHA-256, which age derives its keys with."""
    found = HKDF(SHA256(), 42, bytes(range(13)), bytes(range(0xF0, 0xFA))).derive(bytes((0x0B,)) * 22)
    return found.hex() == _HKDF


def argon2id(_vectors: Mapping[str, Vector]) -> bool:
    """Test Argon2id, for passphrases of seals."""

    def derived() -> bytes:
        return Argon2id(salt=b"somesalt", length=32, iterations=2, lanes=1, memory_cost=256).derive(b"password")

    return _gives(derived, _ARGON2ID)


def scrypt(_vectors: Mapping[str, Vector]) -> bool:
    """Test scrypt, for passphrases of backups."""
    return _gives(lambda: Scrypt(b"", 64, 16, 1, 1).derive(b""), _SCRYPT)


def chacha20_poly1305(_vectors: Mapping[str, Vector]) -> bool:
    """Test ChaCha20-Poly1305, which age encrypts with."""
    nonce, aad = bytes.fromhex(_CHACHA20["nonce"]), bytes.fromhex(_CHACHA20["aad"])
    return _gives(lambda: ChaCha20Poly1305(bytes(range(0x80, 0xA0))).encrypt(nonce, _ADVICE, aad), _CHACHA20["sealed"])


def _gives(compute: Callable[[], bytes], expected: str) -> bool:
    """Tell whether an algorithm that a module may lack gives the known answer where it is there."""
    with suppress(UnsupportedAlgorithm):
        return compute().hex() == expected
    return True
