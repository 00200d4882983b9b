"""GenerateMac and VerifyMac: their responses, the messages they accept, and their errors."""

import base64
import hashlib
import json
from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from accounts import last_record
from client_errors import error_code_of, error_of
from clients import response_members
from local_server import RunningServer
from shared_keys import SharedKeys

MESSAGE = b"to be tagged"
# Source: KMS Developer Guide, "Key spec reference".
LENGTHS = {224: 28, 256: 32, 384: 48, 512: 64}
HMAC_256 = ("HMAC_256", "GENERATE_VERIFY_MAC")


def call_of(arn: str, algorithm: str = "HMAC_SHA_256", message: bytes = MESSAGE) -> dict[str, Any]:
    """Return the parameters that GenerateMac and VerifyMac share."""
    return {"KeyId": arn, "Message": message, "MacAlgorithm": algorithm}


@pytest.mark.parametrize("bits", LENGTHS)
def test_a_tag_and_its_verification(kms: KMSClient, keys: SharedKeys, bits: int) -> None:
    arn, algorithm = keys(f"HMAC_{bits}", "GENERATE_VERIFY_MAC"), f"HMAC_SHA_{bits}"
    call = call_of(arn.rpartition("/")[2], algorithm)
    answer = response_members(kms.generate_mac(**call))
    tag = answer.pop("Mac")
    assert len(tag) == LENGTHS[bits]
    assert answer == {"KeyId": arn, "MacAlgorithm": algorithm}
    assert kms.generate_mac(**call)["Mac"] == tag
    assert response_members(kms.verify_mac(**call, Mac=tag)) == {
        "KeyId": arn,
        "MacValid": True,
        "MacAlgorithm": algorithm,
    }


def test_a_digest_is_a_message_like_any_other(kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys(*HMAC_256)
    of_digest = call_of(arn, message=hashlib.sha256(MESSAGE).digest())
    tag = kms.generate_mac(**of_digest)["Mac"]
    assert kms.verify_mac(**of_digest, Mac=tag)["MacValid"] is True
    assert error_code_of(kms.verify_mac, **call_of(arn), Mac=tag) == "KMSInvalidMacException"


@pytest.mark.parametrize("bits", LENGTHS)
def test_a_wrong_tag_is_an_error_without_a_message(kms: KMSClient, keys: SharedKeys, bits: int) -> None:
    arn, other = keys(f"HMAC_{bits}", "GENERATE_VERIFY_MAC"), keys.new(f"HMAC_{bits}", "GENERATE_VERIFY_MAC")
    call = call_of(arn, f"HMAC_SHA_{bits}")
    tag = kms.generate_mac(**call)["Mac"]
    altered = [tag[:at] + bytes((tag[at] ^ 1,)) + tag[at + 1 :] for at in range(len(tag))]
    # RFC 2104 allows cutting tags; KMS does not.
    for wrong in (*altered, tag[:-1], tag[: len(tag) // 2], tag[:1], tag + b"\x00", tag * 2, bytes(6144)):
        assert error_of(kms.verify_mac, **call, Mac=wrong) == {"Code": "KMSInvalidMacException", "Message": ""}
    for changed in ({"KeyId": other}, {"Message": MESSAGE + b"\x00"}):
        assert error_code_of(kms.verify_mac, **{**call, **changed}, Mac=tag) == "KMSInvalidMacException"


def test_a_message_has_1_to_4096_bytes(kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys(*HMAC_256)
    for length in (1, 4096):
        call = call_of(arn, message=bytes(length))
        assert kms.verify_mac(**call, Mac=kms.generate_mac(**call)["Mac"])["MacValid"] is True
    for length, rule in ((0, "greater than or equal to 1"), (4097, "less than or equal to 4096")):
        call = call_of(arn, message=bytes(length))
        wrong = {
            "Code": "ValidationException",
            "Message": "1 validation error detected: Value at 'message' failed to satisfy constraint: "
            f"Member must have length {rule}",
        }
        assert error_of(kms.generate_mac, **call) == wrong
        assert error_of(kms.verify_mac, **call, Mac=b"x") == wrong
    for length in (0, 6145):
        refused = error_of(kms.verify_mac, **call_of(arn), Mac=bytes(length))
        assert refused["Code"] == "ValidationException"
        assert "at 'mac' failed to satisfy constraint: Member must have length" in refused["Message"]


@pytest.mark.parametrize("bits", LENGTHS)
def test_a_key_has_one_algorithm(kms: KMSClient, keys: SharedKeys, bits: int) -> None:
    arn = keys(f"HMAC_{bits}", "GENERATE_VERIFY_MAC")
    for other in LENGTHS.keys() - {bits}:
        call = call_of(arn, f"HMAC_SHA_{other}")
        wrong = {
            "Code": "InvalidKeyUsageException",
            "Message": f"Algorithm HMAC_SHA_{other} is incompatible with key spec HMAC_{bits}.",
        }
        assert error_of(kms.generate_mac, **call) == wrong
        assert error_of(kms.verify_mac, **call, Mac=b"x") == wrong
    refused = error_of(kms.generate_mac, **call_of(arn, "HMAC_SHA_1"))
    assert refused["Code"] == "ValidationException"
    assert "Value 'HMAC_SHA_1' at 'macAlgorithm'" in refused["Message"]


@pytest.mark.parametrize(
    ("spec", "usage"), [("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), ("ECC_NIST_P256", "SIGN_VERIFY")]
)
def test_keys_of_another_usage_make_no_tags(kms: KMSClient, keys: SharedKeys, spec: str, usage: str) -> None:
    arn = keys(spec, usage)
    for operation, call, more in (("GenerateMac", kms.generate_mac, {}), ("VerifyMac", kms.verify_mac, {"Mac": b"x"})):
        assert error_of(call, **call_of(arn), **more) == {
            "Code": "InvalidKeyUsageException",
            "Message": f"{arn} key usage is {usage} which is not valid for {operation}.",
        }


def test_the_key_can_be_named_in_all_four_forms(kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys.new(*HMAC_256)
    for name in keys.names(arn):
        made = kms.generate_mac(**call_of(name))
        assert made["KeyId"] == arn
        assert kms.verify_mac(**call_of(name), Mac=made["Mac"])["KeyId"] == arn


def test_a_dry_run_finds_what_is_wrong_and_tags_nothing(kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys.new(*HMAC_256)
    succeeds = {
        "Code": "DryRunOperationException",
        "Message": "The request would have succeeded, but the DryRun option is set.",
    }
    tag = kms.generate_mac(**call_of(arn), DryRun=False)["Mac"]
    assert error_of(kms.generate_mac, **call_of(arn), DryRun=True) == succeeds
    assert error_of(kms.verify_mac, **call_of(arn), Mac=tag, DryRun=True) == succeeds
    other = call_of(arn, "HMAC_SHA_512")
    assert error_code_of(kms.generate_mac, **other, DryRun=True) == "InvalidKeyUsageException"
    assert error_code_of(kms.verify_mac, **other, Mac=tag, DryRun=True) == "InvalidKeyUsageException"
    kms.disable_key(KeyId=arn)
    assert error_code_of(kms.generate_mac, **call_of(arn), DryRun=True) == "DisabledException"


def test_the_state_of_the_key_counts(kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys.new(*HMAC_256)
    tag = kms.generate_mac(**call_of(arn))["Mac"]
    for stop, code, state in (
        (kms.disable_key, "DisabledException", "disabled"),
        (kms.schedule_key_deletion, "KMSInvalidStateException", "pending deletion"),
    ):
        stop(KeyId=arn)
        refused = {"Code": code, "Message": f"{arn} is {state}."}
        assert error_of(kms.generate_mac, **call_of(arn)) == refused
        assert error_of(kms.verify_mac, **call_of(arn), Mac=tag) == refused
    kms.cancel_key_deletion(KeyId=arn)
    kms.enable_key(KeyId=arn)
    assert kms.verify_mac(**call_of(arn), Mac=tag)["MacValid"] is True


def test_records_show_neither_message_nor_tag(server: RunningServer, kms: KMSClient, keys: SharedKeys) -> None:
    call = call_of(keys(*HMAC_256))
    tag = kms.generate_mac(**call)["Mac"]
    for operation in ("GenerateMac", "VerifyMac"):
        record = last_record(server)
        assert (record["eventName"], record["readOnly"], record["responseElements"]) == (operation, True, None)
        assert record["requestParameters"] == {"keyId": call["KeyId"], "macAlgorithm": "HMAC_SHA_256"}
        for hidden in (MESSAGE, tag):
            assert base64.b64encode(hidden).decode() not in json.dumps(record)
        kms.verify_mac(**call, Mac=tag)
