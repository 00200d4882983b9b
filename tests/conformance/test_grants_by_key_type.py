"""What a grant can permit on each type of key, and that its grantee can then do it and nothing else."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from client_errors import error_code_of
from identities import Identities, Person
from shared_keys import SharedKeys

# Source: KMS Developer Guide, "Grant operations".
ANY = {"CreateGrant", "RetireGrant", "DescribeKey"}
CIPHER = {"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo"}
DATA_KEYS = {
    *("GenerateDataKey", "GenerateDataKeyWithoutPlaintext"),
    *("GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"),
}
FIT: dict[tuple[str, str], set[str]] = {
    ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"): CIPHER | DATA_KEYS,
    ("RSA_2048", "ENCRYPT_DECRYPT"): CIPHER | {"GetPublicKey"},
    ("RSA_2048", "SIGN_VERIFY"): {"Sign", "Verify", "GetPublicKey"},
    ("ECC_NIST_P256", "SIGN_VERIFY"): {"Sign", "Verify", "GetPublicKey"},
    ("ML_DSA_44", "SIGN_VERIFY"): {"Sign", "Verify", "GetPublicKey"},
    ("ECC_NIST_P256", "KEY_AGREEMENT"): {"DeriveSharedSecret", "GetPublicKey"},
    ("HMAC_256", "GENERATE_VERIFY_MAC"): {"GenerateMac", "VerifyMac"},
    ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"): {"Encapsulate", "Decapsulate", "GetPublicKey"},
}
ALL = set[str]().union(ANY, *FIT.values())

ECDSA: dict[str, Any] = {"Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"}
HMAC: dict[str, Any] = {"Message": b"x", "MacAlgorithm": "HMAC_SHA_256"}
KEM: dict[str, Any] = {"EncapsulationAlgorithm": "ML_KEM"}
P256: dict[str, Any] = {"KeyPairSpec": "ECC_NIST_P256"}
Use = Callable[[Any, Any, str], Any]


def public_key(_owner: Any, by: Any, key: str) -> Any:
    return by.get_public_key(KeyId=key)


def derive(owner: Any, by: Any, key: str) -> Any:
    peer = owner.get_public_key(KeyId=key)["PublicKey"]
    return by.derive_shared_secret(KeyId=key, KeyAgreementAlgorithm="ECDH", PublicKey=peer)


def verify(owner: Any, by: Any, key: str) -> Any:
    return by.verify(KeyId=key, Signature=owner.sign(KeyId=key, **ECDSA)["Signature"], **ECDSA)


def verify_mac(owner: Any, by: Any, key: str) -> Any:
    return by.verify_mac(KeyId=key, Mac=owner.generate_mac(KeyId=key, **HMAC)["Mac"], **HMAC)


def decapsulate(owner: Any, by: Any, key: str) -> Any:
    blob = owner.encapsulate(KeyId=key, **KEM)["SharedSecretCiphertextBlob"]
    return by.decapsulate(KeyId=key, SharedSecretCiphertextBlob=blob, **KEM)


USES: dict[tuple[str, str], dict[str, Use]] = {
    ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"): {
        "GenerateDataKeyPair": lambda _, by, key: by.generate_data_key_pair(KeyId=key, **P256),
        "GenerateDataKeyPairWithoutPlaintext": lambda _, by, key: by.generate_data_key_pair_without_plaintext(
            KeyId=key, **P256
        ),
    },
    ("ECC_NIST_P256", "SIGN_VERIFY"): {
        "Sign": lambda _, by, key: by.sign(KeyId=key, **ECDSA),
        "Verify": verify,
        "GetPublicKey": public_key,
    },
    ("HMAC_256", "GENERATE_VERIFY_MAC"): {
        "GenerateMac": lambda _, by, key: by.generate_mac(KeyId=key, **HMAC),
        "VerifyMac": verify_mac,
    },
    ("ECC_NIST_P256", "KEY_AGREEMENT"): {
        "DeriveSharedSecret": derive,
        "GetPublicKey": public_key,
    },
    ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"): {
        "Encapsulate": lambda _, by, key: by.encapsulate(KeyId=key, **KEM),
        "Decapsulate": decapsulate,
        "GetPublicKey": public_key,
    },
}


@pytest.fixture(scope="module")
def user(identities: Identities) -> Person:
    return identities.user()


@pytest.mark.parametrize(("spec", "usage"), FIT)
def test_the_operations_must_fit_the_key(kms: KMSClient, keys: SharedKeys, user: Person, spec: str, usage: str) -> None:
    arn, fit = keys.new(spec, usage), FIT[spec, usage] | ANY
    for operation in sorted(ALL - fit):
        asked: dict[str, Any] = {"KeyId": arn, "GranteePrincipal": user.arn}
        assert error_code_of(kms.create_grant, **asked, Operations=[operation]) == "ValidationException", operation
        mixed = ["DescribeKey", operation]
        assert error_code_of(kms.create_grant, **asked, Operations=mixed, DryRun=True) == "ValidationException"
    assert kms.list_grants(KeyId=arn)["Grants"] == []
    everything: dict[str, Any] = {"KeyId": arn, "GranteePrincipal": user.arn, "Operations": sorted(fit)}
    grant_id = kms.create_grant(**everything)["GrantId"]
    (listed,) = kms.list_grants(KeyId=arn)["Grants"]
    assert (listed["GrantId"], set(listed["Operations"])) == (grant_id, fit)


@pytest.mark.parametrize(("spec", "usage"), USES)
def test_a_grantee_does_what_the_grant_says_and_nothing_else(
    kms: KMSClient, keys: SharedKeys, user: Person, spec: str, usage: str
) -> None:
    uses, arn = USES[spec, usage], keys.new(spec, usage)
    for operation, use in uses.items():
        asked: dict[str, Any] = {"KeyId": arn, "GranteePrincipal": user.arn, "Operations": [operation]}
        grant_id = kms.create_grant(**asked)["GrantId"]
        assert use(kms, user.kms, arn)["KeyId"] == arn
        for other in uses.keys() - {operation}:
            assert error_code_of(partial(uses[other], kms, user.kms, arn)) == "AccessDeniedException"
        kms.revoke_grant(KeyId=arn, GrantId=grant_id)


@pytest.mark.parametrize(("spec", "usage"), [kind for kind in FIT if kind[0] != "SYMMETRIC_DEFAULT"])
def test_only_symmetric_keys_have_an_encryption_context_to_constrain(
    kms: KMSClient, keys: SharedKeys, user: Person, spec: str, usage: str
) -> None:
    asked: dict[str, Any] = {"KeyId": keys(spec, usage), "GranteePrincipal": user.arn, "Operations": ["DescribeKey"]}
    for constraint in ("EncryptionContextEquals", "EncryptionContextSubset"):
        refused = error_code_of(kms.create_grant, **asked, Constraints={constraint: {"a": "b"}})
        assert refused == "ValidationException"
