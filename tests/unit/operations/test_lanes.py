"""The lanes of calls: no slow work runs on the event loop, for any body."""

import json
from typing import Any

import pytest

from strongroom.operations.kms.table import TABLE
from strongroom.operations.lanes import Lane
from strongroom.operations.sts.table import STS_TABLE


@pytest.mark.parametrize(
    ("operation", "request_", "lane"),
    [
        ("Encrypt", {"Plaintext": "eA=="}, Lane.INLINE),
        ("Encrypt", {"EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}, Lane.COMPUTING),
        ("Sign", {"SigningAlgorithm": "ECDSA_SHA_256"}, Lane.INLINE),
        ("Sign", {"SigningAlgorithm": "ED25519_SHA_512"}, Lane.INLINE),
        ("Sign", {"SigningAlgorithm": "ECDSA_SHA_384"}, Lane.SIGNING),
        ("Sign", {"SigningAlgorithm": "RSASSA_PSS_SHA_512"}, Lane.SIGNING),
        ("Sign", {"SigningAlgorithm": "ML_DSA_SHAKE_256"}, Lane.SIGNING),
        ("GenerateMac", {"MacAlgorithm": "HMAC_SHA_512"}, Lane.INLINE),
        ("DescribeKey", {}, Lane.INLINE),
        ("GetPublicKey", {}, Lane.COMPUTING),
        ("DisableKey", {}, Lane.WRITING),
        ("CreateKey", {}, Lane.WRITING),
        ("CreateKey", {"KeySpec": "ECC_NIST_P256"}, Lane.WRITING),
        ("CreateKey", {"KeySpec": "RSA_4096"}, Lane.GENERATING),
        ("CreateKey", {"CustomerMasterKeySpec": "RSA_2048"}, Lane.GENERATING),
        ("GenerateDataKeyPair", {"KeyPairSpec": "ECC_NIST_P256"}, Lane.COMPUTING),
        ("GenerateDataKeyPairWithoutPlaintext", {"KeyPairSpec": "RSA_2048"}, Lane.GENERATING),
        ("GetParametersForImport", {"WrappingKeySpec": "RSA_4096"}, Lane.GENERATING),
    ],
)
def test_the_lane_of_a_request(operation: str, request_: dict[str, Any], lane: Lane) -> None:
    assert TABLE[operation].lane(json.dumps(request_).encode()) is lane


def test_json_escapes_do_not_hide_a_slow_algorithm() -> None:
    hidden = rb'{"SigningAlgorithm":"\u0052SASSA_PSS_SHA_512"}'
    assert TABLE["Sign"].lane(hidden) is Lane.SIGNING
    assert TABLE["CreateKey"].lane(rb'{"KeySpec":"\u0052SA_4096"}') is Lane.GENERATING


def test_the_text_of_a_policy_does_not_change_the_lane_of_create_key() -> None:
    policy = json.dumps({"Statement": [{"Sid": "RSA keys", "Effect": "Allow"}]})
    assert TABLE["CreateKey"].lane(json.dumps({"Policy": policy}).encode()) is Lane.WRITING
    assert TABLE["CreateKey"].lane(json.dumps({"Policy": policy, "KeySpec": "RSA_2048"}).encode()) is Lane.GENERATING
    assert TABLE["CreateKey"].lane(b'{"Description":"\\') is Lane.WRITING


def test_a_large_body_is_not_decoded_on_the_event_loop() -> None:
    for operation in (TABLE["Encrypt"], TABLE["DescribeKey"], STS_TABLE["GetCallerIdentity"]):
        assert operation.lane(bytes(32 * 1024)) is Lane.INLINE
        assert operation.lane(bytes(32 * 1024 + 1)) is Lane.COMPUTING
    assert TABLE["CreateKey"].lane(bytes(100_000)) is Lane.WRITING
