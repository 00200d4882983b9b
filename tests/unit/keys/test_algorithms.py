"""Algorithms and sizes, compared with a second transcript of the developer guide's "Key spec reference"."""

from collections.abc import Mapping, Sequence

import pytest

from strongroom.errors import InvalidKeyUsageException, ValidationException
from strongroom.keys.algorithms import (
    ENCAPSULATION,
    ENCRYPTION,
    KEY_AGREEMENT,
    MAC,
    SIGNING,
    Algorithm,
    EncryptionAlgorithm,
    MessageType,
    SigningAlgorithm,
    require_algorithm,
    require_message,
    require_plaintext_size,
)
from strongroom.keys.specs import USAGES, KeySpec, KeyUsage

OAEP = "RSAES_OAEP_SHA_1 RSAES_OAEP_SHA_256"
RSA = (
    "RSASSA_PKCS1_V1_5_SHA_256 RSASSA_PKCS1_V1_5_SHA_384 RSASSA_PKCS1_V1_5_SHA_512 "
    "RSASSA_PSS_SHA_256 RSASSA_PSS_SHA_384 RSASSA_PSS_SHA_512"
)
TABLES: dict[KeyUsage, Mapping[KeySpec, Sequence[Algorithm]]] = {
    KeyUsage.ENCRYPT_DECRYPT: ENCRYPTION,
    KeyUsage.SIGN_VERIFY: SIGNING,
    KeyUsage.GENERATE_VERIFY_MAC: MAC,
    KeyUsage.KEY_AGREEMENT: KEY_AGREEMENT,
    KeyUsage.ENCAPSULATE_DECAPSULATE: ENCAPSULATION,
}

# fmt: off
ALGORITHMS: dict[str, dict[str, str]] = {
    "SYMMETRIC_DEFAULT":     {"ENCRYPT_DECRYPT": "SYMMETRIC_DEFAULT"},
    "RSA_2048":              {"ENCRYPT_DECRYPT": OAEP, "SIGN_VERIFY": RSA},
    "RSA_3072":              {"ENCRYPT_DECRYPT": OAEP, "SIGN_VERIFY": RSA},
    "RSA_4096":              {"ENCRYPT_DECRYPT": OAEP, "SIGN_VERIFY": RSA},
    "ECC_NIST_P256":         {"SIGN_VERIFY": "ECDSA_SHA_256", "KEY_AGREEMENT": "ECDH"},
    "ECC_NIST_P384":         {"SIGN_VERIFY": "ECDSA_SHA_384", "KEY_AGREEMENT": "ECDH"},
    "ECC_NIST_P521":         {"SIGN_VERIFY": "ECDSA_SHA_512", "KEY_AGREEMENT": "ECDH"},
    "ECC_SECG_P256K1":       {"SIGN_VERIFY": "ECDSA_SHA_256"},
    "ECC_NIST_EDWARDS25519": {"SIGN_VERIFY": "ED25519_SHA_512 ED25519_PH_SHA_512"},
    "HMAC_224":              {"GENERATE_VERIFY_MAC": "HMAC_SHA_224"},
    "HMAC_256":              {"GENERATE_VERIFY_MAC": "HMAC_SHA_256"},
    "HMAC_384":              {"GENERATE_VERIFY_MAC": "HMAC_SHA_384"},
    "HMAC_512":              {"GENERATE_VERIFY_MAC": "HMAC_SHA_512"},
    "SM2":                   {"ENCRYPT_DECRYPT": "SM2PKE", "SIGN_VERIFY": "SM2DSA", "KEY_AGREEMENT": "ECDH"},
    "ML_DSA_44":             {"SIGN_VERIFY": "ML_DSA_SHAKE_256"},
    "ML_DSA_65":             {"SIGN_VERIFY": "ML_DSA_SHAKE_256"},
    "ML_DSA_87":             {"SIGN_VERIFY": "ML_DSA_SHAKE_256"},
    "ML_KEM_512":            {"ENCAPSULATE_DECAPSULATE": "ML_KEM"},
    "ML_KEM_768":            {"ENCAPSULATE_DECAPSULATE": "ML_KEM"},
    "ML_KEM_1024":           {"ENCAPSULATE_DECAPSULATE": "ML_KEM"},
}
# Which message types an algorithm takes, and the one length that a digest or message representative may have.
ANY = None
MESSAGES: dict[str, dict[str, int | None]] = {
    "RSASSA_PSS_SHA_256":        {"RAW": ANY, "DIGEST": 32},
    "RSASSA_PSS_SHA_384":        {"RAW": ANY, "DIGEST": 48},
    "RSASSA_PSS_SHA_512":        {"RAW": ANY, "DIGEST": 64},
    "RSASSA_PKCS1_V1_5_SHA_256": {"RAW": ANY, "DIGEST": 32},
    "RSASSA_PKCS1_V1_5_SHA_384": {"RAW": ANY, "DIGEST": 48},
    "RSASSA_PKCS1_V1_5_SHA_512": {"RAW": ANY, "DIGEST": 64},
    "ECDSA_SHA_256":             {"RAW": ANY, "DIGEST": 32},
    "ECDSA_SHA_384":             {"RAW": ANY, "DIGEST": 48},
    "ECDSA_SHA_512":             {"RAW": ANY, "DIGEST": 64},
    "SM2DSA":                    {"RAW": ANY, "DIGEST": 32},
    "ML_DSA_SHAKE_256":          {"RAW": ANY, "EXTERNAL_MU": 64},
    "ED25519_SHA_512":           {"RAW": ANY},
    "ED25519_PH_SHA_512":        {"DIGEST": 64},
}
MOST = [
    ("RSA_2048", "RSAES_OAEP_SHA_1", 214), ("RSA_2048", "RSAES_OAEP_SHA_256", 190),
    ("RSA_3072", "RSAES_OAEP_SHA_1", 342), ("RSA_3072", "RSAES_OAEP_SHA_256", 318),
    ("RSA_4096", "RSAES_OAEP_SHA_1", 470), ("RSA_4096", "RSAES_OAEP_SHA_256", 446),
]
# fmt: on


@pytest.mark.parametrize("spec", KeySpec)
def test_every_spec_has_the_usages_and_algorithms_of_the_developer_guide(spec: KeySpec) -> None:
    expected = {KeyUsage(usage): names.split() for usage, names in ALGORITHMS[spec].items()}
    assert set(USAGES[spec]) == set(expected)
    assert {usage: list(table[spec]) for usage, table in TABLES.items() if spec in table} == expected


@pytest.mark.parametrize("spec", KeySpec)
@pytest.mark.parametrize("usage", KeyUsage)
def test_an_algorithm_of_another_spec_is_refused(spec: KeySpec, usage: KeyUsage) -> None:
    table = TABLES[usage]
    for algorithm in sorted({each for algorithms in table.values() for each in algorithms}):
        if algorithm in ALGORITHMS[spec].get(usage, "").split():
            require_algorithm(algorithm, spec, table)
        else:
            with pytest.raises(InvalidKeyUsageException) as caught:
                require_algorithm(algorithm, spec, table)
            assert caught.value.message == f"Algorithm {algorithm} is incompatible with key spec {spec}."


@pytest.mark.parametrize(("spec", "algorithm", "most"), MOST)
def test_the_largest_plaintext_of_an_oaep_block(spec: str, algorithm: str, most: int) -> None:
    require_plaintext_size(most, EncryptionAlgorithm(algorithm), KeySpec(spec))
    with pytest.raises(ValidationException) as caught:
        require_plaintext_size(most + 1, EncryptionAlgorithm(algorithm), KeySpec(spec))
    assert caught.value.message == (
        f"Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {most} bytes."
    )


def test_symmetric_plaintexts_are_limited_by_the_request_alone() -> None:
    require_plaintext_size(4096, EncryptionAlgorithm.SYMMETRIC_DEFAULT, KeySpec.SYMMETRIC_DEFAULT)


@pytest.mark.parametrize("algorithm", SigningAlgorithm)
@pytest.mark.parametrize("kind", MessageType)
def test_the_message_types_and_lengths_of_an_algorithm(algorithm: SigningAlgorithm, kind: MessageType) -> None:
    takes = MESSAGES[algorithm]
    for size in (1, 31, 32, 33, 47, 48, 49, 63, 64, 65, 4096):
        if kind in takes and takes[kind] in {ANY, size}:
            require_message(size, kind, algorithm)
            continue
        with pytest.raises(ValidationException) as caught:
            require_message(size, kind, algorithm)
        what = {MessageType.DIGEST: "Digest", MessageType.EXTERNAL_MU: "Message representative"}.get(kind)
        assert caught.value.message == (
            f"{what} is invalid length for algorithm {algorithm}."
            if kind in takes
            else f"MessageType {kind} is not valid for algorithm {algorithm}."
        )
