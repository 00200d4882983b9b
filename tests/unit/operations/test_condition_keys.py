"""Every condition key, tested with a key policy that denies on it: one case a line."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from typing_extensions import override

from local_deployment import LocalDeployment, Refused
from policies import Json, allow, deny, document
from strongroom.clock import ManualClock
from strongroom.iam import AmbiguousConditionKey
from strongroom.operations.condition_keys import DecisionContext
from strongroom.operations.context import Context
from strongroom.operations.kms.encryption import EncryptRequest
from strongroom.operations.shapes import Request
from strongroom.operations.targets import Target

ROOT = "arn:aws:iam::000000000000:root"
DATA = base64.b64encode(b"data").decode()
CONTEXT = {"Team": "red", "year": "2026"}
DAY = 86_400


class Case(msgspec.Struct):
    """A condition, a call that it denies, and one that it allows; on a symmetric key unless the case has another."""

    condition: Json
    stopped: tuple[str, dict[str, Any]]
    passed: tuple[str, dict[str, Any]]
    key: tuple[str, str] = ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")


def encrypt(**more: Any) -> tuple[str, dict[str, Any]]:
    return "Encrypt", {"Plaintext": DATA, **more}


def tagged(key: str, value: str = "x") -> tuple[str, dict[str, Any]]:
    return "TagResource", {"Tags": [{"TagKey": key, "TagValue": value}]}


def sign(kind: str | None = None, algorithm: str = "RSASSA_PSS_SHA_256") -> tuple[str, dict[str, Any]]:
    call = {"Message": base64.b64encode(bytes(32)).decode(), "SigningAlgorithm": algorithm}
    return "Sign", call if kind is None else {**call, "MessageType": kind}


def pair(spec: str) -> tuple[str, dict[str, Any]]:
    return "GenerateDataKeyPairWithoutPlaintext", {"KeyPairSpec": spec}


ALWAYS: tuple[str, dict[str, Any]] = ("DescribeKey", {})
RSA, HMAC, ECDH = ("RSA_2048", "SIGN_VERIFY"), ("HMAC_256", "GENERATE_VERIFY_MAC"), ("ECC_NIST_P256", "KEY_AGREEMENT")
ML_KEM = ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE")
ENCAPSULATE: tuple[str, dict[str, Any]] = ("Encapsulate", {"EncapsulationAlgorithm": "ML_KEM"})
MAC: tuple[str, dict[str, Any]] = ("GenerateMac", {"Message": DATA, "MacAlgorithm": "HMAC_SHA_256"})
DERIVE: tuple[str, dict[str, Any]] = ("DeriveSharedSecret", {"KeyAgreementAlgorithm": "ECDH", "PublicKey": DATA})
# fmt: off
CASES = {
    "aws:CurrentTime": Case({"DateGreaterThan": {"aws:CurrentTime": "2026-09-21T00:00:00Z"}}, encrypt(), ("ListKeyPolicies", {})),
    "aws:EpochTime": Case({"NumericGreaterThan": {"aws:EpochTime": "1789999999"}}, encrypt(), ("ListKeyPolicies", {})),
    "aws:RequestedRegion": Case({"StringEquals": {"aws:RequestedRegion": "us-east-1"}}, encrypt(), ("ListKeyPolicies", {})),
    "aws:ResourceAccount": Case({"StringEquals": {"aws:ResourceAccount": "000000000000"}}, encrypt(), ("ListKeyPolicies", {})),
    "aws:SecureTransport": Case({"Bool": {"aws:SecureTransport": "false"}}, encrypt(), ("ListKeyPolicies", {})),
    "aws:SourceIp": Case({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, encrypt(), ("ListKeyPolicies", {})),
    "aws:ViaAWSService": Case({"Bool": {"aws:ViaAWSService": "false"}}, encrypt(), ("ListKeyPolicies", {})),
    "aws:TagKeys on tagging": Case({"ForAnyValue:StringEquals": {"aws:TagKeys": "owner"}}, tagged("owner"), tagged("team")),
    "aws:TagKeys on untagging": Case({"ForAnyValue:StringEquals": {"aws:TagKeys": "owner"}}, ("UntagResource", {"TagKeys": ["owner"]}), ("UntagResource", {"TagKeys": ["team"]})),
    "aws:RequestTag": Case({"StringEquals": {"aws:RequestTag/Owner": "me"}}, tagged("owner", "me"), tagged("owner", "you")),
    "kms:CallerAccount": Case({"StringEquals": {"kms:CallerAccount": "000000000000"}}, encrypt(), ("ListKeyPolicies", {})),
    "kms:KeySpec": Case({"StringEquals": {"kms:KeySpec": "SYMMETRIC_DEFAULT"}}, encrypt(), ("ListKeyPolicies", {})),
    "kms:KeyUsage": Case({"StringEquals": {"kms:KeyUsage": "ENCRYPT_DECRYPT"}}, encrypt(), ("ListKeyPolicies", {})),
    "kms:KeyOrigin": Case({"StringEquals": {"kms:KeyOrigin": "AWS_KMS"}}, encrypt(), ("ListKeyPolicies", {})),
    "kms:MultiRegion": Case({"Bool": {"kms:MultiRegion": "false"}}, encrypt(), ("ListKeyPolicies", {})),
    "kms:MultiRegionKeyType": Case({"Null": {"kms:MultiRegionKeyType": "true"}}, encrypt(), ("ListKeyPolicies", {})),
    "kms:EncryptionAlgorithm": Case({"StringEquals": {"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}}, encrypt(), ALWAYS),
    "kms:EncryptionAlgorithm of a data key": Case({"StringEquals": {"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}}, ("GenerateDataKey", {"KeySpec": "AES_256"}), ALWAYS),
    "kms:EncryptionContext:team": Case({"StringEquals": {"kms:EncryptionContext:team": "red"}}, encrypt(EncryptionContext=CONTEXT), encrypt(EncryptionContext={"team": "Red"})),
    "kms:EncryptionContextKeys": Case({"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": "Team"}}, encrypt(EncryptionContext=CONTEXT), encrypt(EncryptionContext={"year": "2026"})),
    "no encryption context": Case({"Null": {"kms:EncryptionContextKeys": "true"}}, encrypt(), encrypt(EncryptionContext=CONTEXT)),
    "kms:RequestAlias": Case({"StringEquals": {"kms:RequestAlias": "alias/one"}}, encrypt(KeyId="alias/one"), encrypt(KeyId="alias/two")),
    "kms:PolicyName": Case({"StringEquals": {"kms:PolicyName": "default"}}, ("GetKeyPolicy", {}), ALWAYS),
    "kms:RotationPeriodInDays": Case({"NumericGreaterThan": {"kms:RotationPeriodInDays": "180"}}, ("EnableKeyRotation", {"RotationPeriodInDays": 365}), ("EnableKeyRotation", {"RotationPeriodInDays": 90})),
    "kms:ScheduleKeyDeletionPendingWindowInDays": Case({"NumericLessThan": {"kms:ScheduleKeyDeletionPendingWindowInDays": "14"}}, ("ScheduleKeyDeletion", {"PendingWindowInDays": 7}), ("ScheduleKeyDeletion", {"PendingWindowInDays": 14})),
    "kms:SigningAlgorithm": Case({"StringLike": {"kms:SigningAlgorithm": "RSASSA_PKCS1_*"}}, sign(algorithm="RSASSA_PKCS1_V1_5_SHA_256"), sign(), RSA),
    "kms:SigningAlgorithm of others": Case({"Null": {"kms:SigningAlgorithm": "true"}}, ("GetPublicKey", {}), sign(), RSA),
    "kms:MessageType": Case({"StringEquals": {"kms:MessageType": "RAW"}}, sign("RAW"), sign("DIGEST"), RSA),
    "kms:MessageType by default": Case({"StringEquals": {"kms:MessageType": "RAW"}}, sign(), sign("DIGEST"), RSA),
    "kms:MessageType of others": Case({"Null": {"kms:MessageType": "true"}}, ("GetPublicKey", {}), sign(), RSA),
    "kms:KeySpec of another key": Case({"StringEquals": {"kms:KeySpec": "RSA_2048"}}, sign(), ALWAYS, RSA),
    "kms:KeyUsage of another key": Case({"StringEquals": {"kms:KeyUsage": "SIGN_VERIFY"}}, sign(), ALWAYS, RSA),
    "no encryption algorithm": Case({"Null": {"kms:EncryptionAlgorithm": "true"}}, sign(), ALWAYS, RSA),
    "kms:MacAlgorithm": Case({"StringEquals": {"kms:MacAlgorithm": "HMAC_SHA_256"}}, MAC, ALWAYS, HMAC),
    "kms:EncapsulationAlgorithm": Case({"StringEquals": {"kms:EncapsulationAlgorithm": "ML_KEM"}}, ENCAPSULATE, ALWAYS, ML_KEM),
    "kms:KeyAgreementAlgorithm": Case({"StringEquals": {"kms:KeyAgreementAlgorithm": "ECDH"}}, DERIVE, ALWAYS, ECDH),
    "kms:DataKeyPairSpec": Case({"StringLike": {"kms:DataKeyPairSpec": "RSA_*"}}, pair("RSA_2048"), pair("ECC_NIST_P256")),
    "kms:EncryptionAlgorithm of a data key pair": Case({"StringEquals": {"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}}, pair("ECC_NIST_P256"), ALWAYS),
    "kms:TrailingDaysWithoutKeyUsage of others": Case({"Null": {"kms:TrailingDaysWithoutKeyUsage": "true"}}, encrypt(), ALWAYS),
    "kms:BypassPolicyLockoutSafetyCheck": Case({"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "true"}}, ("PutKeyPolicy", {"Policy": document(allow(ROOT)), "BypassPolicyLockoutSafetyCheck": True}), ("PutKeyPolicy", {"Policy": document(allow(ROOT))})),
    "kms:TrailingDaysWithoutKeyUsage": Case({"NumericLessThan": {"kms:TrailingDaysWithoutKeyUsage": "30"}}, ("DisableKey", {}), ("EnableKey", {})),
    "an unknown key": Case({"Null": {"kms:NoSuchKey": "true"}}, encrypt(), ("ListKeyPolicies", {})),
}
# fmt: on


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    local = LocalDeployment(Path(tmp_path_factory.mktemp("data")), ManualClock(1_790_000_000.0))
    yield local
    local.deployment.close()


@pytest.mark.parametrize("name", CASES)
def test_a_condition_denies_one_call_and_allows_another(local: LocalDeployment, name: str) -> None:
    case = CASES[name]
    denied = deny(ROOT, do=f"kms:{case.stopped[0]}", when=case.condition)
    spec, usage = case.key
    made = local.call("CreateKey", Policy=document(allow(ROOT), denied), KeySpec=spec, KeyUsage=usage)
    key_id = made["KeyMetadata"]["KeyId"]
    for alias in ("alias/one", "alias/two"):
        if name == "kms:RequestAlias":
            local.call("CreateAlias", AliasName=alias, TargetKeyId=key_id)
    operation, request = case.stopped
    with pytest.raises(Refused, match="with an explicit deny in a resource-based policy"):
        local.call(operation, **{"KeyId": key_id, **request})
    operation, request = case.passed
    local.call(operation, **{"KeyId": key_id, **request})


@pytest.mark.parametrize("operation", ["DisableKey", "ScheduleKeyDeletion"])
def test_a_policy_can_deny_to_disable_or_delete_a_key_that_was_used_recently(
    local: LocalDeployment, operation: str
) -> None:
    """The value is in whole days since the last use, or since the key was made if it was never used."""
    recent = {"NumericLessThan": {"kms:TrailingDaysWithoutKeyUsage": "90"}}
    policy = document(allow(ROOT), deny(ROOT, do=f"kms:{operation}", when=recent))
    used, unused = (local.call("CreateKey", Policy=policy)["KeyMetadata"]["KeyId"] for _ in range(2))
    local.clock.advance(89 * DAY)
    local.call("Encrypt", KeyId=used, Plaintext=DATA)
    local.clock.advance(DAY - 1)
    for key_id in (used, unused):
        with pytest.raises(Refused, match="with an explicit deny in a resource-based policy"):
            local.call(operation, KeyId=key_id)
    local.clock.advance(1)
    local.call(operation, KeyId=unused)
    local.clock.advance(88 * DAY)
    with pytest.raises(Refused, match="with an explicit deny in a resource-based policy"):
        local.call(operation, KeyId=used)
    local.clock.advance(DAY)
    local.call(operation, KeyId=used)


@pytest.mark.parametrize("same", [True, False], ids=["same key", "another key"])
def test_conditions_on_re_encrypt(local: LocalDeployment, same: bool) -> None:  # noqa: FBT001 - a case
    policies = document(
        allow(ROOT),
        deny(ROOT, do="kms:ReEncryptTo", when={"Bool": {"kms:ReEncryptOnSameKey": "true"}}),
        deny(ROOT, do="kms:ReEncryptFrom", when={"StringEquals": {"kms:EncryptionContext:a": "no"}}),
        deny(ROOT, do="kms:ReEncryptTo", when={"StringEquals": {"kms:EncryptionContext:a": "never"}}),
    )
    source = local.call("CreateKey", Policy=policies)["KeyMetadata"]["KeyId"]
    other = source if same else local.call("CreateKey", Policy=policies)["KeyMetadata"]["KeyId"]
    blob = local.call("Encrypt", KeyId=source, Plaintext=DATA)["CiphertextBlob"]
    if same:
        with pytest.raises(Refused, match="kms:ReEncryptTo"):
            local.call("ReEncrypt", CiphertextBlob=blob, DestinationKeyId=other)
        return
    local.call("ReEncrypt", CiphertextBlob=blob, DestinationKeyId=other, DestinationEncryptionContext={"a": "no"})
    with pytest.raises(Refused, match="kms:ReEncryptTo"):
        local.call(
            "ReEncrypt", CiphertextBlob=blob, DestinationKeyId=other, DestinationEncryptionContext={"a": "never"}
        )
    with pytest.raises(Refused, match="kms:ReEncryptFrom"):
        local.call("ReEncrypt", CiphertextBlob=blob, DestinationKeyId=other, SourceEncryptionContext={"a": "no"})


AMBIGUOUS = {"Team": "red", "team": "blue"}
TAGS = [{"TagKey": key, "TagValue": value} for key, value in AMBIGUOUS.items()]


@pytest.mark.parametrize(
    ("condition", "operation", "request_"),
    [
        ("kms:EncryptionContext:team", "Encrypt", {"Plaintext": DATA, "EncryptionContext": AMBIGUOUS}),
        ("aws:RequestTag/TEAM", "TagResource", {"Tags": TAGS}),
    ],
)
@pytest.mark.parametrize("operator", ["StringEquals", "StringNotEquals", "StringLikeIfExists", "Null"])
def test_names_that_differ_by_case_satisfy_no_allow_and_every_deny(
    local: LocalDeployment, condition: str, operation: str, request_: dict[str, Any], operator: str
) -> None:
    for value in ("true", "false") if operator == "Null" else ("red", "blue", "*"):
        when = {operator: {condition: value}}
        denying = document(allow(ROOT), deny(ROOT, do=f"kms:{operation}", when=when))
        key_id = local.call("CreateKey", Policy=denying)["KeyMetadata"]["KeyId"]
        with pytest.raises(Refused, match="with an explicit deny in a resource-based policy"):
            local.call(operation, KeyId=key_id, **request_)
        allowing = document(allow(ROOT, do="kms:PutKeyPolicy"), allow(ROOT, do=f"kms:{operation}", when=when))
        key_id = local.call("CreateKey", Policy=allowing)["KeyMetadata"]["KeyId"]
        with pytest.raises(Refused, match="because no resource-based policy allows"):
            local.call(operation, KeyId=key_id, **request_)


def test_names_that_differ_by_case_with_one_value_are_one(local: LocalDeployment) -> None:
    when = {"StringEquals": {"kms:EncryptionContext:team": "red"}}
    policy = document(allow(ROOT, do="kms:PutKeyPolicy"), allow(ROOT, do="kms:Encrypt", when=when))
    key_id = local.call("CreateKey", Policy=policy)["KeyMetadata"]["KeyId"]
    local.call("Encrypt", KeyId=key_id, Plaintext=DATA, EncryptionContext={"team": "red", "TEAM": "red"})
    with pytest.raises(Refused):
        local.call("Encrypt", KeyId=key_id, Plaintext=DATA, EncryptionContext={"team": "red", "TEAM": "Red"})


def test_an_encryption_context_is_gone_through_once_for_a_decision() -> None:
    class Counted(dict[str, str]):
        times = 0

        @override
        def items(self) -> Any:
            self.times += 1
            return super().items()

    pairs = Counted({"Team": "red", "year": "2026"})
    request = EncryptRequest(key_id="k", plaintext=b"", encryption_context=pairs)
    target = Target("kms:Encrypt")
    context = DecisionContext(cast("Context", None), request, target, (target,))
    asked = [context.read(f"kms:encryptioncontext:{name}") for name in ("team", "year", "other")]
    assert (asked, pairs.times) == ([("red",), ("2026",), None], 1)


@pytest.mark.parametrize("prefix", ["aws:resourcetag", "iam:resourcetag"])
def test_tags_of_a_resource_that_differ_by_case(prefix: str) -> None:
    """They are refused now; a key that was tagged by an earlier version can have them."""

    def read(name: str, tags: dict[str, str]) -> tuple[str, ...] | None:
        target = Target("iam:GetUser", tags=tuple(tags.items()))
        return DecisionContext(cast("Context", None), Request(), target, (target,)).read(f"{prefix}/{name}")

    with pytest.raises(AmbiguousConditionKey):
        read("team", AMBIGUOUS)
    with pytest.raises(AmbiguousConditionKey):
        read("k", {"K": "1", "\u212a": "2"})
    with pytest.raises(AmbiguousConditionKey):
        read("s", {"S": "1", "\u017f": "2"})
    assert read("team", {"Team": "red", "TEAM": "red"}) == ("red",)
    assert read("other", AMBIGUOUS) is None


def test_a_thousand_conditions_read_the_encryption_context_once() -> None:
    class Counted(dict[str, str]):
        times = 0

        @override
        def items(self) -> Any:
            self.times += 1
            return super().items()

    pairs = Counted({f"Key-{number}": "x" for number in range(300)})

    class WithContext(Request):
        @override
        def encryption_context_for(self, action: str) -> dict[str, str]:
            assert action == "kms:Encrypt"
            return pairs

    target = Target("kms:Encrypt")
    context = DecisionContext(cast("Context", None), WithContext(), target, (target,))
    for number in range(1000):
        assert context.read(f"kms:encryptioncontext:key-{number}") == (("x",) if number < 300 else None)
    assert pairs.times == 1


def test_create_key_has_the_condition_keys_of_the_new_key(local: LocalDeployment) -> None:
    """The lockout check decides on PutKeyPolicy; CreateKey itself has no resource policy."""
    locked = document(allow(ROOT, do="kms:PutKeyPolicy", when={"StringEquals": {"kms:KeySpec": "RSA_2048"}}))
    with pytest.raises(Refused, match="will not allow you to update the key policy"):
        local.call("CreateKey", Policy=locked)
    made = local.call("CreateKey", Policy=locked, BypassPolicyLockoutSafetyCheck=True)
    with pytest.raises(Refused, match="no resource-based policy allows the kms:DescribeKey action"):
        local.call("DescribeKey", KeyId=made["KeyMetadata"]["KeyId"])


def test_audit_records_of_refusals_have_the_reason(local: LocalDeployment) -> None:
    key_id = local.call("CreateKey", Policy=document(allow(ROOT), deny(ROOT, do="kms:Encrypt")))["KeyMetadata"]["KeyId"]
    local.perform("Encrypt", json.dumps({"KeyId": key_id, "Plaintext": DATA}).encode())
    record = local.records()[-1]
    assert record["errorCode"] == "AccessDenied"
    assert record["errorMessage"].endswith("with an explicit deny in a resource-based policy")


def test_lists_show_an_account_by_its_arn_whatever_name_was_sent(local: LocalDeployment) -> None:
    key_id = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    local.call("CreateGrant", KeyId=key_id, GranteePrincipal=ROOT.split(":")[4], Operations=["Encrypt"])
    (shown,) = local.call("ListGrants", KeyId=key_id)["Grants"]
    assert shown["GranteePrincipal"] == ROOT
