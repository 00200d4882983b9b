"""Published vectors of ECDH, with valid and invalid peer keys, and of ML-KEM, with valid and invalid ciphertexts."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey
from kyber_py.ml_kem import ML_KEM_512, ML_KEM_768, ML_KEM_1024

from published import Vector, vectors
from strongroom.crypto.backing_keys import EncapsulationKey
from strongroom.crypto.key_encodings import pkcs8
from strongroom.crypto.software.elliptic import EllipticBackingKey
from strongroom.crypto.software.ml_kem import MlKem512BackingKey, MlKemBackingKey, PrivateKey
from strongroom.errors import InvalidCiphertextException, ValidationException

CURVES = {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1(), "secp521r1": ec.SECP521R1()}
ML_KEM: dict[str, type[PrivateKey]] = {"ML-KEM-768": MLKEM768PrivateKey, "ML-KEM-1024": MLKEM1024PrivateKey}

PKCS8_512 = bytes.fromhex("30820678020100300b06096086480165030404010482066404820660")
"""The PKCS #8 prefix of an expanded ML-KEM-512 key (RFC 9935, section 6), the only encoding that our library has."""


@vectors("ecdh_secp256r1", "ecdh_secp384r1", "ecdh_secp521r1")
def test_ecdh(vector: Vector) -> None:
    """An encoding that is acceptable rather than valid may be refused, but must not give another secret."""
    key = ec.derive_private_key(int.from_bytes(vector.values["private"]), CURVES[vector.key["curve"]])
    try:
        secret = EllipticBackingKey(pkcs8(key)).agree(vector.values["public"])
    except ValidationException:
        assert not vector.valid
    else:
        assert vector.result != "invalid"
        assert secret == vector.values["shared"]


@vectors("mlkem_512", "mlkem_768", "mlkem_1024")
def test_ml_kem(vector: Vector) -> None:
    """Vectors with random ciphertexts expect the secret of implicit rejection."""
    key = ml_kem_key(vector.key["parameterSet"], vector.values["seed"])
    assert key.public_key().endswith(vector.values["ek"])
    if vector.valid:
        assert key.decapsulate(vector.values["c"]) == vector.values["K"]
    else:
        with pytest.raises(InvalidCiphertextException):
            key.decapsulate(vector.values["c"])


@pytest.mark.parametrize("other", [ML_KEM_512, ML_KEM_768, ML_KEM_1024], ids=lambda each: f"k={each.k}")
def test_another_implementation_decapsulates_our_ciphertexts(other: Any) -> None:
    seed = bytes(range(64))
    encapsulation_key, decapsulation_key = other.key_derive(seed)
    key = ml_kem_key(f"ML-KEM-{256 * other.k}", seed)
    assert key.public_key().endswith(encapsulation_key)
    secret, ciphertext = key.encapsulate()
    assert other.decaps(decapsulation_key, ciphertext) == secret


def ml_kem_key(parameter_set: str, seed: bytes) -> EncapsulationKey:
    if parameter_set == "ML-KEM-512":
        _, expanded = ML_KEM_512.key_derive(seed)
        return MlKem512BackingKey(PKCS8_512 + expanded)
    return MlKemBackingKey(pkcs8(ML_KEM[parameter_set].from_seed_bytes(seed)))
