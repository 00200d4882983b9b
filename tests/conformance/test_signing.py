"""Sign and Verify: their responses, the messages they accept, and their errors."""

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from mypy_boto3_kms.client import KMSClient

from accounts import last_record
from client_errors import error_code_of, error_of
from clients import response_members
from local_server import RunningServer
from shared_keys import SharedKeys

MESSAGE = b"to be signed"
SHA = {
    256: hashlib.sha256(MESSAGE).digest(),
    384: hashlib.sha384(MESSAGE).digest(),
    512: hashlib.sha512(MESSAGE).digest(),
}
RSA = {f"RSASSA_{padding}_SHA_{bits}": bits for padding in ("PKCS1_V1_5", "PSS") for bits in SHA}
# Source: KMS API Reference, Sign, SigningAlgorithm; Developer Guide, "Key spec reference".
HASHED = {
    **{f"RSA_{size}": RSA for size in (2048, 3072, 4096)},
    "ECC_NIST_P256": {"ECDSA_SHA_256": 256},
    "ECC_NIST_P384": {"ECDSA_SHA_384": 384},
    "ECC_NIST_P521": {"ECDSA_SHA_512": 512},
    "ECC_SECG_P256K1": {"ECDSA_SHA_256": 256},
}
HASHED_CASES = [(spec, algorithm, bits) for spec, each in HASHED.items() for algorithm, bits in each.items()]
PH = "ED25519_PH_SHA_512"
ALGORITHMS = [(spec, algorithm) for spec, algorithm, _ in HASHED_CASES] + [
    ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512"),
    ("ECC_NIST_EDWARDS25519", PH),
    *((f"ML_DSA_{number}", "ML_DSA_SHAKE_256") for number in (44, 65, 87)),
]
ONE_OF_EACH = [
    ("RSA_2048", "RSASSA_PSS_SHA_256"),
    ("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256"),
    ("ECC_NIST_P256", "ECDSA_SHA_256"),
    ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512"),
    ("ML_DSA_44", "ML_DSA_SHAKE_256"),
]
P256 = ("ECC_NIST_P256", "SIGN_VERIFY")


def call_of(arn: str, algorithm: str, message: bytes = MESSAGE, kind: str | None = None) -> dict[str, Any]:
    """Return the parameters that Sign and Verify share."""
    call: dict[str, Any] = {"KeyId": arn, "Message": message, "SigningAlgorithm": algorithm}
    return call if kind is None else {**call, "MessageType": kind}


@pytest.mark.parametrize(("spec", "algorithm"), ALGORITHMS)
def test_a_signature_and_its_verification(kms: KMSClient, keys: SharedKeys, spec: str, algorithm: str) -> None:
    arn = keys(spec, "SIGN_VERIFY")
    digest = (SHA[512], "DIGEST") if algorithm == PH else (MESSAGE, None)
    call = call_of(arn.rpartition("/")[2], algorithm, *digest)
    answer = response_members(kms.sign(**call))
    signature = answer.pop("Signature")
    assert answer == {"KeyId": arn, "SigningAlgorithm": algorithm}
    assert response_members(kms.verify(**call, Signature=signature)) == {
        "KeyId": arn,
        "SignatureValid": True,
        "SigningAlgorithm": algorithm,
    }


@pytest.mark.parametrize(("spec", "algorithm", "bits"), HASHED_CASES)
def test_a_message_and_its_digest_are_the_same_message(
    kms: KMSClient, keys: SharedKeys, spec: str, algorithm: str, bits: int
) -> None:
    arn = keys(spec, "SIGN_VERIFY")
    ways = [call_of(arn, algorithm), call_of(arn, algorithm, kind="RAW"), call_of(arn, algorithm, SHA[bits], "DIGEST")]
    hashed_twice = call_of(arn, algorithm, SHA[bits])
    for signing in ways:
        signature = kms.sign(**signing)["Signature"]
        for verifying in ways:
            assert kms.verify(**verifying, Signature=signature)["SignatureValid"] is True
        assert error_code_of(kms.verify, **hashed_twice, Signature=signature) == "KMSInvalidSignatureException"


@pytest.mark.parametrize(
    ("spec", "algorithm", "bits"),
    [*(case for case in HASHED_CASES if case[0] not in {"RSA_3072", "RSA_4096"}), ("ECC_NIST_EDWARDS25519", PH, 512)],
)
def test_a_digest_has_the_length_of_its_algorithm(
    kms: KMSClient, keys: SharedKeys, spec: str, algorithm: str, bits: int
) -> None:
    arn = keys(spec, "SIGN_VERIFY")
    for length in {1, 20, 28, 32, 48, 64, bits // 8 - 1, bits // 8 + 1, 4096} - {bits // 8}:
        call = call_of(arn, algorithm, bytes(length), "DIGEST")
        wrong = {"Code": "ValidationException", "Message": f"Digest is invalid length for algorithm {algorithm}."}
        assert error_of(kms.sign, **call) == wrong
        assert error_of(kms.verify, **call, Signature=b"x") == wrong


@pytest.mark.parametrize(
    ("spec", "algorithm", "kind"),
    [
        ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512", "DIGEST"),
        ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512", "EXTERNAL_MU"),
        ("ECC_NIST_EDWARDS25519", PH, None),
        ("ECC_NIST_EDWARDS25519", PH, "RAW"),
        ("ECC_NIST_EDWARDS25519", PH, "EXTERNAL_MU"),
        ("ML_DSA_44", "ML_DSA_SHAKE_256", "DIGEST"),
        ("RSA_2048", "RSASSA_PSS_SHA_512", "EXTERNAL_MU"),
        ("ECC_NIST_P521", "ECDSA_SHA_512", "EXTERNAL_MU"),
    ],
)
def test_message_types_that_an_algorithm_does_not_take(
    kms: KMSClient, keys: SharedKeys, spec: str, algorithm: str, kind: str | None
) -> None:
    call = call_of(keys(spec, "SIGN_VERIFY"), algorithm, SHA[512], kind)
    assert error_code_of(kms.sign, **call) == "ValidationException"
    assert error_code_of(kms.verify, **call, Signature=bytes(64)) == "ValidationException"


def test_an_external_mu_has_64_bytes(kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys("ML_DSA_44", "SIGN_VERIFY")
    call = call_of(arn, "ML_DSA_SHAKE_256", bytes(64), "EXTERNAL_MU")
    assert kms.verify(**call, Signature=kms.sign(**call)["Signature"])["SignatureValid"] is True
    for length in (1, 32, 63, 65, 4096):
        call = call_of(arn, "ML_DSA_SHAKE_256", bytes(length), "EXTERNAL_MU")
        assert error_code_of(kms.sign, **call) == "ValidationException"
        assert error_code_of(kms.verify, **call, Signature=b"x") == "ValidationException"


def test_a_message_has_1_to_4096_bytes(kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys(*P256)
    for length in (1, 4096):
        call = call_of(arn, "ECDSA_SHA_256", bytes(length))
        assert kms.verify(**call, Signature=kms.sign(**call)["Signature"])["SignatureValid"] is True
    for length, rule in ((0, "greater than or equal to 1"), (4097, "less than or equal to 4096")):
        call = call_of(arn, "ECDSA_SHA_256", bytes(length))
        wrong = {
            "Code": "ValidationException",
            "Message": "1 validation error detected: Value at 'message' failed to satisfy constraint: "
            f"Member must have length {rule}",
        }
        assert error_of(kms.sign, **call) == wrong
        assert error_of(kms.verify, **call, Signature=b"x") == wrong
    for length in (0, 6145):
        refused = error_of(kms.verify, **call_of(arn, "ECDSA_SHA_256"), Signature=bytes(length))
        assert refused["Code"] == "ValidationException"
        assert "at 'signature' failed to satisfy constraint: Member must have length" in refused["Message"]


def test_values_that_are_none_of_the_enumerations(kms: KMSClient, keys: SharedKeys) -> None:
    for algorithm, kind, member in (
        ("ECDSA_SHA_1", "RAW", "signingAlgorithm"),
        ("ECDSA_SHA_256", "raw", "messageType"),
    ):
        refused = error_of(kms.sign, **call_of(keys(*P256), algorithm, kind=kind))
        assert refused["Code"] == "ValidationException"
        value = algorithm if member == "signingAlgorithm" else kind
        assert refused["Message"].startswith(
            f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: "
            "Member must satisfy enum value set: ["
        )


@pytest.mark.parametrize(("spec", "algorithm"), ONE_OF_EACH)
def test_a_wrong_signature_is_an_error_without_a_message(
    kms: KMSClient, keys: SharedKeys, spec: str, algorithm: str
) -> None:
    arn, other = keys(spec, "SIGN_VERIFY"), keys.new(spec, "SIGN_VERIFY")
    call = call_of(arn, algorithm)
    signature = kms.sign(**call)["Signature"]
    last = len(signature) - 1
    altered = [signature[:at] + bytes((signature[at] ^ 1,)) + signature[at + 1 :] for at in (0, 40, last)]
    for wrong in (*altered, signature[:-1], signature + b"\x00", b"x", bytes(len(signature)), b"\xff" * 6144):
        refused = error_of(kms.verify, **call, Signature=wrong)
        assert refused == {"Code": "KMSInvalidSignatureException", "Message": ""}
    for changed in ({"KeyId": other}, {"Message": MESSAGE + b"."}):
        assert error_code_of(kms.verify, **{**call, **changed}, Signature=signature) == "KMSInvalidSignatureException"


def test_a_signature_belongs_to_its_algorithm(kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys("RSA_2048", "SIGN_VERIFY")
    signatures = {algorithm: kms.sign(**call_of(arn, algorithm))["Signature"] for algorithm in RSA}
    for made_by, signature in signatures.items():
        for algorithm in RSA.keys() - {made_by}:
            refused = error_code_of(kms.verify, **call_of(arn, algorithm), Signature=signature)
            assert refused == "KMSInvalidSignatureException"


def test_an_elliptic_signature_is_der_and_nothing_else(kms: KMSClient, keys: SharedKeys) -> None:
    call = call_of(keys(*P256), "ECDSA_SHA_256")
    r, s = decode_dss_signature(kms.sign(**call)["Signature"])
    raw = r.to_bytes(32) + s.to_bytes(32)
    assert error_code_of(kms.verify, **call, Signature=raw) == "KMSInvalidSignatureException"


@pytest.mark.parametrize(
    ("spec", "algorithm"),
    [
        ("RSA_2048", "ECDSA_SHA_256"),
        ("RSA_2048", "SM2DSA"),
        ("ECC_NIST_P256", "ECDSA_SHA_384"),
        ("ECC_NIST_P256", "RSASSA_PSS_SHA_256"),
        ("ECC_NIST_P384", "ECDSA_SHA_256"),
        ("ECC_NIST_P521", "ECDSA_SHA_384"),
        ("ECC_SECG_P256K1", "ECDSA_SHA_512"),
        ("ECC_NIST_EDWARDS25519", "ECDSA_SHA_512"),
        ("ECC_NIST_P256", "ED25519_SHA_512"),
        ("ML_DSA_44", "ED25519_SHA_512"),
    ],
)
def test_an_algorithm_of_other_keys(kms: KMSClient, keys: SharedKeys, spec: str, algorithm: str) -> None:
    call = call_of(keys(spec, "SIGN_VERIFY"), algorithm)
    wrong = {
        "Code": "InvalidKeyUsageException",
        "Message": f"Algorithm {algorithm} is incompatible with key spec {spec}.",
    }
    assert error_of(kms.sign, **call) == wrong
    assert error_of(kms.verify, **call, Signature=b"x") == wrong


@pytest.mark.parametrize(
    ("spec", "usage"),
    [
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
        ("RSA_2048", "ENCRYPT_DECRYPT"),
        ("ECC_NIST_P256", "KEY_AGREEMENT"),
        ("HMAC_256", "GENERATE_VERIFY_MAC"),
        ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"),
    ],
)
def test_keys_of_another_usage_sign_nothing(kms: KMSClient, keys: SharedKeys, spec: str, usage: str) -> None:
    arn = keys(spec, usage)
    for operation, call, more in (("Sign", kms.sign, {}), ("Verify", kms.verify, {"Signature": b"x"})):
        assert error_of(call, **call_of(arn, "RSASSA_PSS_SHA_256"), **more) == {
            "Code": "InvalidKeyUsageException",
            "Message": f"{arn} key usage is {usage} which is not valid for {operation}.",
        }


def test_the_key_can_be_named_in_all_four_forms(kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys.new(*P256)
    for name in keys.names(arn):
        call = call_of(name, "ECDSA_SHA_256")
        signed = kms.sign(**call)
        assert signed["KeyId"] == arn
        assert kms.verify(**call, Signature=signed["Signature"])["KeyId"] == arn


def test_a_dry_run_finds_what_is_wrong_and_signs_nothing(kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys.new(*P256)
    call = call_of(arn, "ECDSA_SHA_256")
    succeeds = {
        "Code": "DryRunOperationException",
        "Message": "The request would have succeeded, but the DryRun option is set.",
    }
    assert error_of(kms.sign, **call, DryRun=True) == succeeds
    assert error_of(kms.verify, **call, Signature=kms.sign(**call)["Signature"], DryRun=True) == succeeds
    assert kms.sign(**call, DryRun=False)["KeyId"] == arn
    wrong_digest = call_of(arn, "ECDSA_SHA_256", b"x", "DIGEST")
    assert error_code_of(kms.sign, **wrong_digest, DryRun=True) == "ValidationException"
    assert error_code_of(kms.sign, **call_of(arn, "ECDSA_SHA_384"), DryRun=True) == "InvalidKeyUsageException"
    kms.disable_key(KeyId=arn)
    assert error_code_of(kms.sign, **call, DryRun=True) == "DisabledException"


def test_the_state_of_the_key_counts(kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys.new(*P256)
    call = call_of(arn, "ECDSA_SHA_256")
    signature = kms.sign(**call)["Signature"]
    for stop, code, state in (
        (kms.disable_key, "DisabledException", "disabled"),
        (kms.schedule_key_deletion, "KMSInvalidStateException", "pending deletion"),
    ):
        stop(KeyId=arn)
        refused = {"Code": code, "Message": f"{arn} is {state}."}
        assert error_of(kms.sign, **call) == refused
        assert error_of(kms.verify, **call, Signature=signature) == refused
    empty = keys.new(*P256, Origin="EXTERNAL")
    refused = {"Code": "KMSInvalidStateException", "Message": f"{empty} is pending import."}
    assert error_of(kms.sign, **call_of(empty, "ECDSA_SHA_256")) == refused


def test_records_show_neither_message_nor_signature(server: RunningServer, kms: KMSClient, keys: SharedKeys) -> None:
    call = call_of(keys(*P256), "ECDSA_SHA_256", kind="RAW")
    signature = kms.sign(**call)["Signature"]
    for operation in ("Sign", "Verify"):
        record = last_record(server)
        assert (record["eventName"], record["readOnly"], record["responseElements"]) == (operation, True, None)
        assert record["requestParameters"] == {
            "keyId": call["KeyId"],
            "messageType": "RAW",
            "signingAlgorithm": "ECDSA_SHA_256",
        }
        for hidden in (MESSAGE, signature):
            assert base64.b64encode(hidden).decode() not in json.dumps(record)
        kms.verify(**call, Signature=signature)
