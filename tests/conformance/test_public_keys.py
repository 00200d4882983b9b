"""GetPublicKey: its answer by key spec and usage, and the keys that have no public key."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from mypy_boto3_kms.client import KMSClient

from accounts import last_record
from client_errors import error_code_of, error_of
from clients import response_members
from local_server import RunningServer
from shared_keys import SharedKeys

# Source: KMS Developer Guide, "Key spec reference". The order is AWS's own in DescribeKey: PKCS #1 before PSS.
SIGNING = "SIGN_VERIFY", "SigningAlgorithms"
AGREEMENT = "KEY_AGREEMENT", "KeyAgreementAlgorithms"
ENCAPSULATION = "ENCAPSULATE_DECAPSULATE", "EncapsulationAlgorithms"
RSA_SIGNING = [f"RSASSA_{padding}_SHA_{bits}" for padding in ("PKCS1_V1_5", "PSS") for bits in (256, 384, 512)]
OAEP = ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]
CASES = [
    *((f"RSA_{size}", "ENCRYPT_DECRYPT", "EncryptionAlgorithms", OAEP) for size in (2048, 3072, 4096)),
    *((f"RSA_{size}", *SIGNING, RSA_SIGNING) for size in (2048, 3072, 4096)),
    ("ECC_NIST_P256", *SIGNING, ["ECDSA_SHA_256"]),
    ("ECC_NIST_P384", *SIGNING, ["ECDSA_SHA_384"]),
    ("ECC_NIST_P521", *SIGNING, ["ECDSA_SHA_512"]),
    ("ECC_SECG_P256K1", *SIGNING, ["ECDSA_SHA_256"]),
    ("ECC_NIST_EDWARDS25519", *SIGNING, ["ED25519_SHA_512", "ED25519_PH_SHA_512"]),
    *((f"ML_DSA_{number}", *SIGNING, ["ML_DSA_SHAKE_256"]) for number in (44, 65, 87)),
    *((f"ECC_NIST_P{bits}", *AGREEMENT, ["ECDH"]) for bits in (256, 384, 521)),
    *((f"ML_KEM_{size}", *ENCAPSULATION, ["ML_KEM"]) for size in (512, 768, 1024)),
]


@pytest.mark.parametrize(("spec", "usage", "member", "algorithms"), CASES)
def test_a_public_key_and_what_it_is_for(
    kms: KMSClient, keys: SharedKeys, spec: str, usage: str, member: str, algorithms: list[str]
) -> None:
    arn = keys(spec, usage)
    answer = response_members(kms.get_public_key(KeyId=arn.rpartition("/")[2]))
    public = answer.pop("PublicKey")
    assert answer == {
        "KeyId": arn,
        "CustomerMasterKeySpec": spec,
        "KeySpec": spec,
        "KeyUsage": usage,
        member: algorithms,
    }
    described: dict[str, Any] = dict(kms.describe_key(KeyId=arn)["KeyMetadata"])
    assert {name: value for name, value in described.items() if name.endswith("Algorithms")} == {member: algorithms}
    if spec != "ML_KEM_512":  # which the library does not have
        assert load_der_public_key(public).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == public
    assert kms.get_public_key(KeyId=arn)["PublicKey"] == public


@pytest.mark.parametrize(
    ("spec", "usage"),
    [
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
        *((f"HMAC_{bits}", "GENERATE_VERIFY_MAC") for bits in (224, 256, 384, 512)),
    ],
)
def test_symmetric_keys_have_none(kms: KMSClient, keys: SharedKeys, spec: str, usage: str) -> None:
    assert error_code_of(kms.get_public_key, KeyId=keys(spec, usage)) == "UnsupportedOperationException"


def test_the_key_can_be_named_in_all_four_forms(kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys.new("ECC_NIST_P256", "SIGN_VERIFY")
    found = {kms.get_public_key(KeyId=name)["PublicKey"] for name in keys.names(arn)}
    assert len(found) == 1
    assert error_code_of(kms.get_public_key, KeyId="alias/of/nothing") == "NotFoundException"


def test_the_state_of_the_key_counts(kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys.new("ECC_NIST_P256", "SIGN_VERIFY")
    public = kms.get_public_key(KeyId=arn)["PublicKey"]
    for stop, code, state in (
        (kms.disable_key, "DisabledException", "disabled"),
        (kms.schedule_key_deletion, "KMSInvalidStateException", "pending deletion"),
    ):
        stop(KeyId=arn)
        assert error_of(kms.get_public_key, KeyId=arn) == {"Code": code, "Message": f"{arn} is {state}."}
    kms.cancel_key_deletion(KeyId=arn)
    kms.enable_key(KeyId=arn)
    assert kms.get_public_key(KeyId=arn)["PublicKey"] == public
    empty = keys.new("ECC_NIST_P256", "SIGN_VERIFY", Origin="EXTERNAL")
    refused = {"Code": "KMSInvalidStateException", "Message": f"{empty} is pending import."}
    assert error_of(kms.get_public_key, KeyId=empty) == refused


def test_the_record_does_not_repeat_the_key(server: RunningServer, kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys("ECC_NIST_P256", "SIGN_VERIFY")
    kms.get_public_key(KeyId=arn)
    record = last_record(server)
    assert (record["eventName"], record["readOnly"], record["responseElements"]) == ("GetPublicKey", True, None)
    assert record["requestParameters"] == {"keyId": arn}
