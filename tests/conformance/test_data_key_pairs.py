"""GenerateDataKeyPair, with and without plaintext: a public key, and a private key that only the KMS key decrypts."""

from typing import Any

import pytest
from Crypto.PublicKey import MLKEM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key
from mypy_boto3_kms.client import KMSClient

from accounts import last_record
from client_errors import error_code_of, error_of
from clients import response_members
from local_server import RunningServer
from shared_keys import SharedKeys

# Source: KMS API Reference, GenerateDataKeyPair, KeyPairSpec.
SPECS = [
    *("RSA_2048", "RSA_3072", "RSA_4096"),
    *("ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"),
    *("ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"),
]
CONTEXT = {"purpose": "signing", "Owner": "me"}
SYMMETRIC = ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
OPERATIONS = ["generate_data_key_pair", "generate_data_key_pair_without_plaintext"]


def public_of(pkcs8: bytes, spec: str) -> bytes:
    """Return the SubjectPublicKeyInfo that belongs to a private key."""
    if spec == "ML_KEM_512":
        encoded = MLKEM.import_key(pkcs8).public_key().export_key(format="DER")
        assert isinstance(encoded, bytes)
        return encoded
    private_key: Any = load_der_private_key(pkcs8, None)
    public: bytes = private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public


@pytest.mark.parametrize("spec", SPECS)
def test_a_pair_and_its_private_key_for_later(kms: KMSClient, keys: SharedKeys, spec: str) -> None:
    arn = keys(*SYMMETRIC)
    material_id = kms.describe_key(KeyId=arn)["KeyMetadata"]["CurrentKeyMaterialId"]
    call: dict[str, Any] = {
        "KeyId": arn.rpartition("/")[2],
        "KeyPairSpec": spec,
        "EncryptionContext": CONTEXT,
    }
    made = response_members(kms.generate_data_key_pair(**call))
    sealed = response_members(kms.generate_data_key_pair_without_plaintext(**call))
    plaintext = made.pop("PrivateKeyPlaintext")
    opened = []
    for answer in (made, sealed):
        blob, public = answer.pop("PrivateKeyCiphertextBlob"), answer.pop("PublicKey")
        assert answer == {"KeyId": arn, "KeyPairSpec": spec, "KeyMaterialId": material_id}
        found = kms.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)
        assert (found["KeyId"], found["KeyMaterialId"]) == (arn, material_id)
        assert public_of(found["Plaintext"], spec) == public
        opened.append(found["Plaintext"])
        for other in ({}, {**CONTEXT, "more": "x"}, {"purpose": "signing", "owner": "me"}):
            assert (
                error_code_of(kms.decrypt, CiphertextBlob=blob, EncryptionContext=other) == "InvalidCiphertextException"
            )
    assert opened[0] == plaintext
    assert opened[1] != plaintext


def test_private_keys_of_ml_kem_are_seeds(kms: KMSClient, keys: SharedKeys) -> None:
    """Their length is the same for all specs (KMS API Reference); docs/divergences.md says why not for 512."""
    call: dict[str, Any] = {"KeyId": keys(*SYMMETRIC)}
    lengths = {
        len(kms.generate_data_key_pair(**call, KeyPairSpec=spec)["PrivateKeyPlaintext"])
        for spec in ("ML_KEM_768", "ML_KEM_1024")
    }
    assert len(lengths) == 1


def test_a_pair_outlives_rotations_and_moves_to_another_key(kms: KMSClient, keys: SharedKeys) -> None:
    arn, other = keys.new(*SYMMETRIC), keys(*SYMMETRIC)
    made = kms.generate_data_key_pair(KeyId=arn, KeyPairSpec="ECC_NIST_P256")
    kms.rotate_key_on_demand(KeyId=arn)
    opened = kms.decrypt(CiphertextBlob=made["PrivateKeyCiphertextBlob"])
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (made["PrivateKeyPlaintext"], made["KeyMaterialId"])
    assert kms.generate_data_key_pair(KeyId=arn, KeyPairSpec="ECC_NIST_P256")["KeyMaterialId"] != made["KeyMaterialId"]
    moved = kms.re_encrypt(CiphertextBlob=made["PrivateKeyCiphertextBlob"], DestinationKeyId=other)
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"])["Plaintext"] == made["PrivateKeyPlaintext"]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("spec", "usage"),
    [
        ("RSA_2048", "ENCRYPT_DECRYPT"),
        ("ECC_NIST_P256", "SIGN_VERIFY"),
        ("HMAC_256", "GENERATE_VERIFY_MAC"),
        ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"),
    ],
)
def test_only_symmetric_keys_wrap_pairs(
    kms: KMSClient, keys: SharedKeys, operation: str, spec: str, usage: str
) -> None:
    arn = keys(spec, usage)
    refused = error_of(getattr(kms, operation), KeyId=arn, KeyPairSpec="ECC_NIST_P256")
    assert refused["Code"] == "InvalidKeyUsageException"
    assert refused["Message"].startswith(f"{arn} key ")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_pairs_that_cannot_be_made(kms: KMSClient, keys: SharedKeys, operation: str) -> None:
    call = getattr(kms, operation)
    # SM2 is for AWS's China Regions.
    assert error_code_of(call, KeyId=keys(*SYMMETRIC), KeyPairSpec="SM2") == "UnsupportedOperationException"
    for spec in ("ML_DSA_44", "HMAC_256", "SYMMETRIC_DEFAULT", "AES_256", "ecc_nist_p256"):
        refused = error_of(call, KeyId=keys(*SYMMETRIC), KeyPairSpec=spec)
        assert refused["Code"] == "ValidationException"
        assert refused["Message"].startswith(
            f"1 validation error detected: Value '{spec}' at 'keyPairSpec' failed to satisfy constraint: "
            "Member must satisfy enum value set: ["
        )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_names_dry_runs_and_states(kms: KMSClient, keys: SharedKeys, operation: str) -> None:
    call, arn = getattr(kms, operation), keys.new(*SYMMETRIC)
    for name in keys.names(arn):
        assert call(KeyId=name, KeyPairSpec="ECC_NIST_P256")["KeyId"] == arn
    assert error_of(call, KeyId=arn, KeyPairSpec="RSA_4096", DryRun=True) == {
        "Code": "DryRunOperationException",
        "Message": "The request would have succeeded, but the DryRun option is set.",
    }
    assert error_code_of(call, KeyId=arn, KeyPairSpec="SM2", DryRun=True) == "UnsupportedOperationException"
    for stop, code, state in (
        (kms.disable_key, "DisabledException", "disabled"),
        (kms.schedule_key_deletion, "KMSInvalidStateException", "pending deletion"),
    ):
        stop(KeyId=arn)
        for dry in (False, True):
            refused = error_of(call, KeyId=arn, KeyPairSpec="ECC_NIST_P256", DryRun=dry)
            assert refused == {"Code": code, "Message": f"{arn} is {state}."}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_record_shows_no_key(server: RunningServer, kms: KMSClient, keys: SharedKeys, operation: str) -> None:
    arn = keys(*SYMMETRIC)
    getattr(kms, operation)(KeyId=arn, KeyPairSpec="ECC_NIST_P256", EncryptionContext=CONTEXT)
    record = last_record(server)
    assert (record["readOnly"], record["responseElements"]) == (True, None)
    assert record["requestParameters"] == {"keyId": arn, "keyPairSpec": "ECC_NIST_P256", "encryptionContext": CONTEXT}
