"""Runs the self-tests, all of them, in some twenty milliseconds."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TypeAlias

from strongroom.crypto.self_tests import known_answers, more_answers
from strongroom.crypto.self_tests.vectors import Vector, read_vectors

SelfTest: TypeAlias = Callable[[Mapping[str, Vector]], bool]
"""Computes with one primitive; returns whether the answer is the known one, or raises."""

SELF_TESTS: dict[str, SelfTest] = {
    "SHA-1, SHA-2": known_answers.hashes,
    "HMAC": known_answers.hmacs,
    "KBKDF": known_answers.kbkdf,
    "AES-256-GCM": known_answers.aes_gcm,
    "ciphertexts of symmetric keys": known_answers.symmetric_keys,
    "AES Key Wrap with Padding": known_answers.key_wrap,
    "RSA signatures": known_answers.rsa_signatures,
    "RSAES-OAEP": known_answers.rsa_encryption,
    "ECDSA, P-256": partial(known_answers.ecdsa, "p256"),
    "ECDSA, P-384": partial(known_answers.ecdsa, "p384"),
    "ECDSA, P-521": partial(known_answers.ecdsa, "p521"),
    "ECDSA, secp256k1": partial(known_answers.ecdsa, "secp256k1"),
    "ECDH, P-256": partial(known_answers.ecdh, "p256"),
    "ECDH, P-384": partial(known_answers.ecdh, "p384"),
    "ECDH, P-521": partial(known_answers.ecdh, "p521"),
    "Ed25519": known_answers.ed25519,
    "Ed25519ph": known_answers.ed25519_ph,
    "ML-DSA-44": partial(known_answers.ml_dsa, "ml-dsa-44"),
    "ML-DSA-65": partial(known_answers.ml_dsa, "ml-dsa-65"),
    "ML-DSA-87": partial(known_answers.ml_dsa, "ml-dsa-87"),
    "ML-KEM-512": known_answers.ml_kem_512,
    "ML-KEM-768": partial(known_answers.ml_kem, "ml-kem-768"),
    "ML-KEM-1024": partial(known_answers.ml_kem, "ml-kem-1024"),
    "AES-256-CBC": more_answers.aes_cbc,
    "PBKDF2": more_answers.pbkdf2,
    "HKDF": more_answers.hkdf,
    "Argon2id": more_answers.argon2id,
    "scrypt": more_answers.scrypt,
    "ChaCha20-Poly1305": more_answers.chacha20_poly1305,
}
"""Every self-test, by what it tests."""


class SelfTestError(Exception):
    """A primitive did not give the known answer, so nothing that it computes can be believed."""


def run_self_tests(tests: Mapping[str, SelfTest] = SELF_TESTS) -> None:
    """Run the tests in their order; raises SelfTestError with the name of the first that fails."""
    vectors = read_vectors()
    for name, test in tests.items():
        try:
            passed = test(vectors)
        except Exception as error:
            # A library that is broken may raise anything.
            raise SelfTestError(_failed(name, f" ({type(error).__name__})")) from error
        if not passed:
            raise SelfTestError(_failed(name, ""))


@cache
def require_self_tests() -> None:
    """Run all tests, once in this process: the libraries stay the same. Raises SelfTestError while one fails."""
    run_self_tests()


def _failed(name: str, why: str) -> str:
    return (
        f"the self-test of {name} failed{why}: the cryptographic libraries of this installation do not compute what "
        "they must. Install them again, and check OPENSSL_CONF and OPENSSL_MODULES if they are set"
    )
