"""GetKeyLastUsage: the time and operation of a key's last use, and the id of its audit record."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from accounts import last_record
from client_errors import error_code_of, error_of
from clients import client_of, response_members
from identities import Identities
from local_server import RunningServer, running_server
from shared_keys import SharedKeys

SYMMETRIC = ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
Use = Callable[[Any, str], Any]

late_elsewhere = pytest.mark.one_node("a use is known to other nodes some seconds later")


def encrypt(kms: Any, key: str) -> Any:
    return kms.encrypt(KeyId=key, Plaintext=b"x")


def sign(kms: Any, key: str) -> Any:
    return kms.sign(KeyId=key, Message=b"x", SigningAlgorithm="ECDSA_SHA_256")


def verify(kms: Any, key: str) -> Any:
    signature = sign(kms, key)["Signature"]
    return kms.verify(KeyId=key, Message=b"x", SigningAlgorithm="ECDSA_SHA_256", Signature=signature)


def generate_mac(kms: Any, key: str) -> Any:
    return kms.generate_mac(KeyId=key, Message=b"x", MacAlgorithm="HMAC_SHA_256")


def verify_mac(kms: Any, key: str) -> Any:
    return kms.verify_mac(KeyId=key, Message=b"x", MacAlgorithm="HMAC_SHA_256", Mac=generate_mac(kms, key)["Mac"])


def derive(kms: Any, key: str) -> Any:
    peer = kms.get_public_key(KeyId=key)["PublicKey"]
    return kms.derive_shared_secret(KeyId=key, KeyAgreementAlgorithm="ECDH", PublicKey=peer)


def encapsulate(kms: Any, key: str) -> Any:
    return kms.encapsulate(KeyId=key, EncapsulationAlgorithm="ML_KEM")


def decapsulate(kms: Any, key: str) -> Any:
    blob = encapsulate(kms, key)["SharedSecretCiphertextBlob"]
    return kms.decapsulate(KeyId=key, EncapsulationAlgorithm="ML_KEM", SharedSecretCiphertextBlob=blob)


def data_key(kms: Any, key: str) -> Any:
    return kms.generate_data_key(KeyId=key, KeySpec="AES_256")


def sealed_data_key(kms: Any, key: str) -> Any:
    return kms.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256")


def key_pair(kms: Any, key: str) -> Any:
    return kms.generate_data_key_pair(KeyId=key, KeyPairSpec="ECC_NIST_P256")


def sealed_key_pair(kms: Any, key: str) -> Any:
    return kms.generate_data_key_pair_without_plaintext(KeyId=key, KeyPairSpec="ECC_NIST_P256")


# Source: KMS API Reference, KeyLastUsageData, Operation.
USES: dict[str, tuple[str, str, Use]] = {
    "Encrypt": (*SYMMETRIC, encrypt),
    "Decrypt": (*SYMMETRIC, lambda kms, key: kms.decrypt(CiphertextBlob=encrypt(kms, key)["CiphertextBlob"])),
    "GenerateDataKey": (*SYMMETRIC, data_key),
    "GenerateDataKeyWithoutPlaintext": (*SYMMETRIC, sealed_data_key),
    "GenerateDataKeyPair": (*SYMMETRIC, key_pair),
    "GenerateDataKeyPairWithoutPlaintext": (*SYMMETRIC, sealed_key_pair),
    "Sign": ("ECC_NIST_P256", "SIGN_VERIFY", sign),
    "Verify": ("ECC_NIST_P256", "SIGN_VERIFY", verify),
    "GenerateMac": ("HMAC_256", "GENERATE_VERIFY_MAC", generate_mac),
    "VerifyMac": ("HMAC_256", "GENERATE_VERIFY_MAC", verify_mac),
    "DeriveSharedSecret": ("ECC_NIST_P256", "KEY_AGREEMENT", derive),
    "Encapsulate": ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE", encapsulate),
    "Decapsulate": ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE", decapsulate),
}


def last(kms: KMSClient, key: str) -> dict[str, Any]:
    return dict(kms.get_key_last_usage(KeyId=key)["KeyLastUsage"])


@late_elsewhere
@pytest.mark.parametrize("operation", USES)
def test_each_cryptographic_operation_is_a_use(
    server: RunningServer, kms: KMSClient, keys: SharedKeys, operation: str
) -> None:
    spec, usage, use = USES[operation]
    arn = keys.new(spec, usage)
    created = kms.describe_key(KeyId=arn)["KeyMetadata"]["CreationDate"]
    unused = {
        "KeyId": arn.rpartition("/")[2],
        "KeyLastUsage": {},
        "TrackingStartDate": created,
        "KeyCreationDate": created,
    }
    assert response_members(kms.get_key_last_usage(KeyId=arn)) == unused
    request_id = use(kms, arn)["ResponseMetadata"]["RequestId"]
    record = last_record(server)
    assert (record["eventName"], record["requestID"]) == (operation, request_id)
    answer = response_members(kms.get_key_last_usage(KeyId=arn.rpartition("/")[2]))
    usage_data = answer.pop("KeyLastUsage")
    assert answer == {name: value for name, value in unused.items() if name != "KeyLastUsage"}
    used_at = usage_data.pop("Timestamp")
    assert usage_data == {
        "Operation": operation,
        "CloudTrailEventId": record["eventID"],
        "KmsRequestId": request_id,
    }
    assert f"{used_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" == record["eventTime"]
    assert timedelta(0) <= datetime.now(UTC) - used_at < timedelta(minutes=1)  # noqa: TID251 - a client


@late_elsewhere
def test_re_encryption_is_a_use_of_both_keys(server: RunningServer, kms: KMSClient, keys: SharedKeys) -> None:
    source, destination = keys.new(*SYMMETRIC), keys.new(*SYMMETRIC)
    blob = encrypt(kms, source)["CiphertextBlob"]
    moved = kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=destination)
    event_id = last_record(server)["eventID"]
    for key in (source, destination):
        found = last(kms, key)
        assert (found["Operation"], found["KmsRequestId"]) == ("ReEncrypt", moved["ResponseMetadata"]["RequestId"])
        assert found["CloudTrailEventId"] == event_id
    kms.decrypt(CiphertextBlob=moved["CiphertextBlob"])
    assert (last(kms, source)["Operation"], last(kms, destination)["Operation"]) == ("ReEncrypt", "Decrypt")


def test_what_does_not_count(kms: KMSClient, keys: SharedKeys, identities: Identities) -> None:
    arn, signing = keys.new(*SYMMETRIC), keys.new("ECC_NIST_P256", "SIGN_VERIFY")
    blob = encrypt(kms, arn)["CiphertextBlob"]
    sign(kms, signing)
    before = last(kms, arn), last(kms, signing)
    message: dict[str, Any] = {"KeyId": signing, "Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"}
    stranger = identities.user()
    for call, arguments, code in (
        (kms.encrypt, {"KeyId": arn, "Plaintext": b"x", "DryRun": True}, "DryRunOperationException"),
        (kms.decrypt, {"CiphertextBlob": blob, "EncryptionContext": {"a": "b"}}, "InvalidCiphertextException"),
        (kms.sign, {**message, "DryRun": True}, "DryRunOperationException"),
        (kms.sign, {**message, "MessageType": "DIGEST"}, "ValidationException"),
        (kms.verify, {**message, "Signature": b"x"}, "KMSInvalidSignatureException"),
        (stranger.kms.encrypt, {"KeyId": arn, "Plaintext": b"x"}, "AccessDeniedException"),
    ):
        assert error_code_of(call, **arguments) == code
    # Nor what is not cryptography.
    kms.get_public_key(KeyId=signing)
    kms.rotate_key_on_demand(KeyId=arn)
    for key in (arn, signing):
        kms.describe_key(KeyId=key)
        kms.update_key_description(KeyId=key, Description="still unused")
        kms.create_alias(AliasName=f"alias/{hashlib.sha256(key.encode()).hexdigest()}", TargetKeyId=key)
        kms.disable_key(KeyId=key)
    assert error_code_of(kms.encrypt, KeyId=arn, Plaintext=b"x") == "DisabledException"
    assert (last(kms, arn), last(kms, signing)) == before


@late_elsewhere
def test_the_name_by_which_a_key_was_used_does_not_matter(kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys.new(*SYMMETRIC)
    for name in keys.names(arn):
        request_id = encrypt(kms, name)["ResponseMetadata"]["RequestId"]
        assert last(kms, arn)["KmsRequestId"] == request_id


def test_a_question_is_asked_by_key_and_not_by_alias(kms: KMSClient, keys: SharedKeys) -> None:
    _, _, alias, alias_arn = keys.names(keys.new(*SYMMETRIC))
    for name in (alias, alias_arn):
        assert error_of(kms.get_key_last_usage, KeyId=name) == {
            "Code": "InvalidArnException",
            "Message": "Key Aliases are not supported for this operation.",
        }
    missing = "1234abcd-12ab-34cd-56ef-1234567890ab"
    assert error_code_of(kms.get_key_last_usage, KeyId=missing) == "NotFoundException"


@late_elsewhere
def test_keys_pending_deletion_still_have_a_last_use(kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys.new(*SYMMETRIC)
    encrypt(kms, arn)
    before = last(kms, arn)
    for stop in (kms.disable_key, kms.schedule_key_deletion):
        stop(KeyId=arn)
        assert last(kms, arn) == before
    assert last(kms, keys.new(*SYMMETRIC, Origin="EXTERNAL")) == {}


@late_elsewhere
def test_each_multi_region_key_keeps_its_own(east: KMSClient, west: KMSClient, pair: str) -> None:
    encrypt(east, pair)
    assert last(west, pair) == {}
    request_id = west.decrypt(CiphertextBlob=encrypt(east, pair)["CiphertextBlob"])["ResponseMetadata"]["RequestId"]
    assert last(west, pair)["KmsRequestId"] == request_id
    assert last(east, pair)["Operation"] == "Encrypt"


def test_a_use_is_remembered_after_a_restart(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", tmp_path / "log") as first:
        kms = client_of(first)
        used, unused = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
        encrypt(kms, used)
        before = kms.get_key_last_usage(KeyId=used)["KeyLastUsage"]
        assert first.stop() == 0
    with running_server(tmp_path / "data", tmp_path / "log") as second:
        kms = client_of(second)
        assert kms.get_key_last_usage(KeyId=used)["KeyLastUsage"] == before
        assert kms.get_key_last_usage(KeyId=unused)["KeyLastUsage"] == {}
        encrypt(kms, used)
        assert kms.get_key_last_usage(KeyId=used)["KeyLastUsage"]["KmsRequestId"] != before["KmsRequestId"]
        assert second.stop() == 0
