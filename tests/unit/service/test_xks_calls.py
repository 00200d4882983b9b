"""Calls of AWS KMS to an XKS proxy: every check in its order, key states, rotation, and what is recorded."""

import base64
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials

from audits import audit_bytes
from local_deployment import LocalDeployment
from strongroom.clock import ManualClock
from strongroom.xks_proxy.registry import Usage
from xks_calls import (
    KMS_KEY,
    PREFIX,
    PRINCIPAL,
    REQUEST_ID,
    decrypt_body,
    encrypt_body,
    metadata,
    policy,
)
from xks_local import LocalXksProxy

SENT = b"project=nile,department=marketing"
INTEGRITY = {"ciphertextDataIntegrityValueAlgorithm": "SHA_256"}


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock)
    with closing(local.deployment):
        yield local


@pytest.fixture
def proxy(local: LocalDeployment) -> Iterator[LocalXksProxy]:
    with closing(LocalXksProxy(local)) as proxy:
        yield proxy


@pytest.fixture
def credentials(proxy: LocalXksProxy) -> Credentials:
    return proxy.make()


@pytest.fixture
def key_id(proxy: LocalXksProxy, credentials: Credentials) -> str:
    assert credentials.access_key
    key_id = proxy.new_key()
    for name, usages in (
        ("foo", (Usage.ENCRYPT, Usage.DECRYPT)),
        ("encrypt", (Usage.ENCRYPT,)),
        ("decrypt", (Usage.DECRYPT,)),
        ("none", ()),
    ):
        proxy.admin.add_key(PREFIX, name, key_id, usages)
    return key_id


@pytest.mark.usefixtures("key_id")
@pytest.mark.parametrize("sent", [b"", SENT, bytes(8192)])
@pytest.mark.parametrize("more", [{}, INTEGRITY])
@pytest.mark.parametrize("length", [1, 4300])
def test_what_is_encrypted_is_decrypted(
    proxy: LocalXksProxy, credentials: Credentials, sent: bytes, more: dict[str, Any], length: int
) -> None:
    encrypted = proxy.call("keys/foo/encrypt", encrypt_body(b"t" * length, sent, **more), credentials)
    assert encrypted.status == 200
    lengths = [
        ("ciphertext", length),
        ("initializationVector", 12),
        ("authenticationTag", 16),
        ("ciphertextMetadata", 20),
    ]
    assert [len(encrypted.bytes_of(name)) for name, _ in lengths] == [expected for _, expected in lengths]
    integrity = encrypted.integrity(sent) if more else b""
    assert encrypted.bytes_of("ciphertextDataIntegrityValue") == integrity
    assert proxy.call("keys/foo/decrypt", decrypt_body(encrypted, sent), credentials).plaintext == b"t" * length
    assert proxy.call("keys/foo/decrypt", decrypt_body(encrypted, b"other"), credentials).error == (
        400,
        "InvalidCiphertextException",
    )


def test_the_longest_associated_data_that_fits_and_more(
    proxy: LocalXksProxy, credentials: Credentials, key_id: str
) -> None:
    assert key_id
    assert proxy.call("keys/foo/encrypt", encrypt_body(b"t", bytes(65_535)), credentials).status == 200
    refused = proxy.call("keys/foo/encrypt", encrypt_body(b"t", bytes(65_536)), credentials)
    assert refused.error == (501, "UnsupportedOperationException")


def test_ciphertexts_survive_rotations(
    proxy: LocalXksProxy, credentials: Credentials, key_id: str, local: LocalDeployment
) -> None:
    made = []
    for _ in range(3):
        made.append(proxy.call("keys/foo/encrypt", encrypt_body(b"t", SENT), credentials))
        local.call("RotateKeyOnDemand", KeyId=key_id)
    assert len({each.body["ciphertextMetadata"][-4:] for each in made}) == 3
    for each in made:
        assert proxy.call("keys/foo/decrypt", decrypt_body(each, SENT), credentials).plaintext == b"t"
    used = [each["additionalEventData"]["keyMaterialId"] for each in proxy.records()]
    assert used[:3] == used[3:]
    assert len(set(used)) == 3


def test_a_blob_of_one_interface_does_not_open_at_the_other(
    proxy: LocalXksProxy, credentials: Credentials, key_id: str, local: LocalDeployment
) -> None:
    blob = base64.b64decode(local.call("Encrypt", KeyId=key_id, Plaintext="dGV4dA==")["CiphertextBlob"])
    body = blob[33:]
    given = {
        "ciphertextMetadata": base64.b64encode(body[:17] + blob[1:4]).decode(),
        "initializationVector": base64.b64encode(body[17:29]).decode(),
        "ciphertext": base64.b64encode(body[29:-16]).decode(),
        "authenticationTag": base64.b64encode(body[-16:]).decode(),
        "encryptionAlgorithm": "AES_GCM",
    }
    refused = proxy.call("keys/foo/decrypt", {**metadata("Decrypt"), **given}, credentials)
    assert refused.error == (400, "InvalidCiphertextException")


# --- refusals, in the order of the checks


@pytest.mark.usefixtures("key_id")
def test_each_check_comes_before_the_next(proxy: LocalXksProxy, credentials: Credentials) -> None:
    wrong = Credentials(str(credentials.access_key), "x" * 44)
    path, body = "keys/unknown/encrypt", {"plaintext": 1}
    assert proxy.call(path, body, wrong, prefix="unknown").error == (404, "InvalidUriPathException")
    assert proxy.call(path, body, wrong).error == (401, "AuthenticationFailedException")
    assert proxy.call(path, b"{", credentials).error == (400, "ValidationException")
    assert proxy.call(path, body, credentials).error == (400, "ValidationException")
    assert proxy.call(path, metadata() | body, credentials).error == (404, "KeyNotFoundException")
    assert proxy.call("keys/none/encrypt", metadata() | body, credentials).error == (400, "InvalidKeyUsageException")
    assert proxy.call("keys/foo/encrypt", metadata() | body, credentials).error == (400, "ValidationException")


@pytest.mark.parametrize(
    ("name", "call", "more", "allowed"),
    [
        ("encrypt", "encrypt", {}, True),
        ("encrypt", "encrypt", INTEGRITY, False),
        ("encrypt", "decrypt", {}, False),
        ("decrypt", "encrypt", {}, False),
        ("decrypt", "encrypt", INTEGRITY, False),
        ("decrypt", "decrypt", {}, True),
        ("none", "encrypt", {}, False),
        ("none", "encrypt", INTEGRITY, False),
        ("none", "decrypt", {}, False),
    ],
)
@pytest.mark.usefixtures("key_id")
def test_usages(
    proxy: LocalXksProxy, credentials: Credentials, name: str, call: str, more: dict[str, Any], *, allowed: bool
) -> None:
    encrypted = proxy.call("keys/foo/encrypt", encrypt_body(b"t", SENT), credentials)
    body = encrypt_body(b"t", SENT, **more) if call == "encrypt" else decrypt_body(encrypted, SENT)
    reply = proxy.call(f"keys/{name}/{call}", body, credentials)
    assert reply.error == ((200, "") if allowed else (400, "InvalidKeyUsageException"))
    described = proxy.call(f"keys/{name}/metadata", metadata("DescribeKey"), credentials)
    assert described.body["keyUsage"] == {"encrypt": ["ENCRYPT"], "decrypt": ["DECRYPT"], "none": []}[name]


def test_the_states_of_a_key(
    proxy: LocalXksProxy, credentials: Credentials, key_id: str, local: LocalDeployment, clock: ManualClock
) -> None:
    encrypted = proxy.call("keys/foo/encrypt", encrypt_body(), credentials)

    def outcomes() -> tuple[Any, ...]:
        return (
            proxy.call("keys/foo/metadata", metadata("DescribeKey"), credentials).body.get("keyStatus"),
            proxy.call("keys/foo/encrypt", encrypt_body(), credentials).error,
            proxy.call("keys/foo/decrypt", decrypt_body(encrypted), credentials).error,
        )

    unusable = ("DISABLED", (400, "InvalidStateException"), (400, "InvalidStateException"))
    assert outcomes() == ("ENABLED", (200, ""), (200, ""))
    local.call("DisableKey", KeyId=key_id)
    assert outcomes() == unusable
    local.call("EnableKey", KeyId=key_id)
    assert outcomes() == ("ENABLED", (200, ""), (200, ""))
    local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    assert outcomes() == unusable
    clock.advance(8 * 86_400)
    local.deployment.keeper.run()
    assert outcomes() == (None, (404, "KeyNotFoundException"), (404, "KeyNotFoundException"))


def test_a_key_of_another_proxy_is_not_found(proxy: LocalXksProxy, credentials: Credentials, key_id: str) -> None:
    other = proxy.make("other")
    assert proxy.call("keys/foo/encrypt", encrypt_body(), credentials).status == 200
    assert proxy.call("keys/foo/encrypt", encrypt_body(), other, prefix="other").error == (404, "KeyNotFoundException")
    assert proxy.call("keys/foo/encrypt", encrypt_body(), other).error == (401, "AuthenticationFailedException")
    proxy.admin.add_key("other", "foo", key_id, (Usage.ENCRYPT,))
    assert proxy.call("keys/foo/encrypt", encrypt_body(), other, prefix="other").status == 200


def test_a_key_that_is_not_given_out_any_more(proxy: LocalXksProxy, credentials: Credentials, key_id: str) -> None:
    assert proxy.call("keys/foo/encrypt", encrypt_body(), credentials).status == 200
    proxy.admin.remove_key(PREFIX, "foo")
    assert proxy.call("keys/foo/encrypt", encrypt_body(), credentials).error == (404, "KeyNotFoundException")
    proxy.admin.add_key(PREFIX, "foo", key_id, (Usage.ENCRYPT,))
    assert proxy.call("keys/foo/encrypt", encrypt_body(), credentials).status == 200


# --- signatures


@pytest.mark.usefixtures("key_id")
@pytest.mark.parametrize(("late", "status"), [(0, 200), (299, 200), (301, 401), (-299, 200), (-301, 401)])
def test_a_signature_is_good_for_five_minutes(
    proxy: LocalXksProxy, credentials: Credentials, late: float, status: int
) -> None:
    reply = proxy.call("keys/foo/metadata", metadata("DescribeKey"), credentials, late=late)
    assert reply.status == status


@pytest.mark.usefixtures("key_id")
def test_it_is_signed_for_the_region_of_the_proxy(proxy: LocalXksProxy, credentials: Credentials) -> None:
    for region in ("eu-west-1", "aws-global"):
        refused = proxy.call("keys/foo/metadata", metadata("DescribeKey"), credentials, region=region)
        assert refused.error == (401, "AuthenticationFailedException"), region
    proxy.admin.add("paris", "000000000000", "us-east-1", "eu-west-3")
    proxy.admin.add_credential("paris")
    own = proxy.credentials("paris")
    for region, status in (("eu-west-3", 200), ("us-east-1", 401)):
        assert proxy.call("health", metadata("x"), own, prefix="paris", region=region).status == status


def test_two_credentials_at_a_time_and_the_end_of_one(proxy: LocalXksProxy, credentials: Credentials) -> None:
    newer = proxy.credentials(PREFIX, proxy.admin.add_credential(PREFIX))
    assert newer.access_key != credentials.access_key
    for each in (credentials, newer):
        assert proxy.call("health", metadata("x"), each).status == 200
    proxy.admin.remove_credential(PREFIX, str(credentials.access_key))
    assert proxy.call("health", metadata("x"), credentials).error == (401, "AuthenticationFailedException")
    assert proxy.call("health", metadata("x"), newer).status == 200
    proxy.admin.remove(PREFIX)
    assert proxy.call("health", metadata("x"), newer).error == (404, "InvalidUriPathException")


# --- authorization


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        (None, True),
        ({"StringEquals": {"xks:PrincipalArn": PRINCIPAL}}, True),
        ({"StringEquals": {"xks:PrincipalArn": f"{PRINCIPAL}x"}}, False),
        ({"ArnEquals": {"xks:KeyArn": KMS_KEY}}, True),
        ({"ArnLike": {"xks:KeyArn": "arn:aws:kms:*:444455556666:key/*"}}, False),
        ({"StringEquals": {"xks:Operation": ["Encrypt", "GenerateDataKey"]}}, True),
        ({"StringEquals": {"xks:Operation": "ReEncrypt"}}, False),
        ({"StringEquals": {"xks:ViaService": "ebs"}}, True),
        ({"Null": {"xks:SourceVpc": "true"}}, True),
        ({"StringEquals": {"xks:SourceVpce": "vpce-1"}}, False),
        ({"StringEquals": {"xks:Prefix": PREFIX, "xks:ExternalKeyId": "one"}}, True),
        ({"StringEquals": {"xks:ExternalKeyId": "two"}}, False),
        ({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, True),
        ({"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}}, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, True),
        ({"Bool": {"aws:PrincipalIsAWSService": "true"}}, True),
    ],
)
def test_the_key_policy_decides_by_what_kms_claims(
    proxy: LocalXksProxy, credentials: Credentials, condition: dict[str, Any] | None, *, allowed: bool
) -> None:
    key_id = proxy.new_key(Policy=policy(condition=condition))
    proxy.admin.add_key(PREFIX, "one", key_id, tuple(Usage))
    reply = proxy.call("keys/one/encrypt", encrypt_body(), credentials)
    assert reply.error == ((200, "") if allowed else (403, "AccessDeniedException"))


@pytest.mark.parametrize(("actions", "works"), [("kms:Encrypt", "encrypt"), ("kms:DescribeKey", "metadata")])
def test_each_call_needs_its_action(proxy: LocalXksProxy, credentials: Credentials, actions: str, works: str) -> None:
    proxy.admin.add_key(PREFIX, "one", proxy.new_key(Policy=policy(actions)), tuple(Usage))
    for call, body in (("encrypt", encrypt_body()), ("metadata", metadata("DescribeKey"))):
        assert proxy.call(f"keys/one/{call}", body, credentials).status == (200 if call == works else 403)
    assert proxy.call("health", metadata("x"), credentials).status == 200


def test_a_policy_that_is_changed_counts_at_once(
    proxy: LocalXksProxy, credentials: Credentials, key_id: str, local: LocalDeployment
) -> None:
    assert proxy.call("keys/foo/encrypt", encrypt_body(), credentials).status == 200
    local.call("PutKeyPolicy", KeyId=key_id, Policy=policy("kms:Decrypt"))
    assert proxy.call("keys/foo/encrypt", encrypt_body(), credentials).error == (403, "AccessDeniedException")


# --- health, records


def test_health(proxy: LocalXksProxy, credentials: Credentials) -> None:
    reply = proxy.call("health", metadata("KmsHealthCheck", awsPrincipalArn=None, kmsKeyArn=None), credentials)
    assert reply.body["xksProxyFleetSize"] == 1
    (manager,) = reply.body["ekmFleetDetails"]
    assert manager["healthStatus"] == "ACTIVE"
    assert manager["id"] == proxy.local.deployment.node
    bodies: tuple[dict[str, Any], ...] = ({}, {"requestMetadata": {}})
    for body in bodies:
        assert proxy.call("health", body, credentials).error == (400, "ValidationException")


@pytest.mark.usefixtures("key_id")
def test_the_record_of_a_call(proxy: LocalXksProxy, credentials: Credentials, local: LocalDeployment) -> None:
    proxy.call("keys/foo/encrypt", encrypt_body(b"a secret text", SENT), credentials)
    (record,) = proxy.records()
    assert record["eventName"] == "Encrypt"
    assert record["requestID"] == REQUEST_ID
    assert record["awsRegion"] == "us-east-1"
    assert record["sourceIPAddress"] == "192.0.2.1"
    assert record["userIdentity"]["accessKeyId"] == credentials.access_key
    assert record["userIdentity"]["invokedBy"] == "xks-proxy.strongroom.amazonaws.com"
    parameters = record["requestParameters"]
    assert (parameters["xksProxyPrefix"], parameters["externalKeyId"]) == (PREFIX, "foo")
    assert parameters["requestMetadata"]["awsPrincipalArn"] == PRINCIPAL
    assert record["resources"][0]["ARN"] == parameters["keyId"]
    assert record["recipientAccountId"] == "000000000000"
    assert "errorCode" not in record
    log = audit_bytes(local.folder)
    assert str(credentials.secret_key).encode() not in log
    assert b"YSBzZWNyZXQgdGV4dA" not in log
    assert b"cHJvamVjdD1uaWxl" not in log


@pytest.mark.usefixtures("key_id")
def test_the_records_of_refusals(proxy: LocalXksProxy, credentials: Credentials) -> None:
    proxy.call("keys/foo/encrypt", encrypt_body(), Credentials("A" * 24, "x" * 44))
    proxy.call("keys/unknown/metadata", metadata("DescribeKey"), credentials)
    unauthenticated, unknown = proxy.records()
    assert unauthenticated["errorCode"] == "AuthenticationFailedException"
    assert unauthenticated["userIdentity"] == {"type": "Unknown"}
    assert unauthenticated["awsRegion"] == ""
    assert unauthenticated["requestID"] == "ours"
    assert unknown["errorCode"] == "KeyNotFoundException"
    assert unknown["userIdentity"]["accessKeyId"] == credentials.access_key
    assert unknown["resources"] == []
