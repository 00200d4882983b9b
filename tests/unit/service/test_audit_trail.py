"""The caller in audit records, in CloudTrail's format: CloudTrail User Guide, "CloudTrail userIdentity element"."""

from typing import Any

import msgspec
import pytest

from audit_memory import MemorySink
from local_deployment import ORIGIN, entropy
from policies import ALICE, ALICE_ID, HOME, PROVIDER, ROLE, ROLE_ID, SERVICE, alice, backup, root, worker
from strongroom.api.aws_json import AwsJson
from strongroom.audit.cloudtrail import MAX_REFUSED, MAX_UNAUTHENTICATED
from strongroom.errors import AccessDeniedException, InvalidSignatureException, KMSInternalException
from strongroom.iam import Principal
from strongroom.iam.principals import assumed_role, web_identity
from strongroom.operations.iam.inline_policies import PutUserPolicyRequest
from strongroom.operations.iam.table import IAM_TABLE
from strongroom.operations.kms.key_policy import PutKeyPolicyRequest
from strongroom.operations.kms.keys import ListKeysRequest, ListKeysResponse
from strongroom.operations.kms.table import TABLE
from strongroom.operations.shapes import Empty
from strongroom.operations.targets import Target
from strongroom.service.audit_trail import AuditTrail
from strongroom.service.call import Call
from strongroom.service.stages import Completed, Refused
from strongroom.snapshot.principals import Credential

NOW = 1_790_000_000.0
FEDERATED = f"arn:aws:iam::{HOME}:oidc-provider/{PROVIDER}"
ATTRIBUTES = {"creationDate": "2026-09-21T14:13:20Z", "mfaAuthenticated": "false"}
ISSUER = {"type": "Role", "principalId": ROLE_ID, "arn": ROLE, "accountId": HOME, "userName": "Worker"}
POD = "system:serviceaccount:shop:checkout"


def record_of(principal: Principal, targets: tuple[Target, ...] = (), **more: Any) -> dict[str, Any]:
    """Return the record of a refused call by a principal."""
    log, via = MemorySink(), more.pop("via_service", None)
    credential = Credential(access_key_id="AKIAEXAMPLE", secret="s3cret", principal=principal, **more)
    origin = msgspec.structs.replace(ORIGIN, via_service=via)
    call = Call(TABLE["Encrypt"], credential, "us-east-1", AwsJson(), b"{}", origin, NOW)
    refused = Refused(call, credential, None, targets, None, AccessDeniedException("no"))
    AuditTrail(log, entropy).call(refused, "event")
    (record,) = log.records
    return record


@pytest.mark.parametrize(
    ("principal", "more", "identity"),
    [
        (
            root,
            {},
            {"type": "Root", "principalId": HOME, "arn": f"arn:aws:iam::{HOME}:root", "accountId": HOME},
        ),
        (
            alice,
            {},
            {"type": "IAMUser", "principalId": ALICE_ID, "arn": ALICE, "accountId": HOME, "userName": "alice"},
        ),
        (
            alice,
            {"issued_at": NOW},
            {
                "type": "IAMUser",
                "principalId": ALICE_ID,
                "arn": ALICE,
                "accountId": HOME,
                "userName": "alice",
                "sessionContext": {"attributes": ATTRIBUTES},
            },
        ),
        (
            worker,
            {"issued_at": NOW, "source_identity": "alice"},
            {
                "type": "AssumedRole",
                "principalId": f"{ROLE_ID}:job-1",
                "arn": f"arn:aws:sts::{HOME}:assumed-role/Worker/job-1",
                "accountId": HOME,
                "sessionContext": {"sessionIssuer": ISSUER, "attributes": ATTRIBUTES, "sourceIdentity": "alice"},
            },
        ),
        (
            assumed_role(ROLE, "pod", role_id=ROLE_ID, provider=FEDERATED),
            {"issued_at": NOW},
            {
                "type": "AssumedRole",
                "principalId": f"{ROLE_ID}:pod",
                "arn": f"arn:aws:sts::{HOME}:assumed-role/Worker/pod",
                "accountId": HOME,
                "sessionContext": {
                    "sessionIssuer": ISSUER,
                    "webIdFederationData": {"federatedProvider": FEDERATED, "attributes": {}},
                    "attributes": ATTRIBUTES,
                },
            },
        ),
        (
            alice,
            {"via_service": SERVICE},
            {
                "type": "IAMUser",
                "principalId": ALICE_ID,
                "arn": ALICE,
                "accountId": HOME,
                "userName": "alice",
                "invokedBy": SERVICE,
            },
        ),
        (backup, {}, {"type": "AWSService", "invokedBy": SERVICE}),
    ],
    ids=["root", "user", "session of a user", "role", "role from a web identity", "on behalf of a user", "service"],
)
def test_who_called(principal: Principal, more: dict[str, Any], identity: dict[str, Any]) -> None:
    assert record_of(principal, **more)["userIdentity"] == {**identity, "accessKeyId": "AKIAEXAMPLE"}


def test_a_web_identity_has_no_access_key() -> None:
    bearer = web_identity(FEDERATED, POD, audience="sts.amazonaws.com")
    assert record_of(bearer)["userIdentity"] == {
        "type": "WebIdentityUser",
        "principalId": f"{FEDERATED}:sts.amazonaws.com:{POD}",
        "userName": POD,
        "identityProvider": FEDERATED,
    }


def test_whose_trail_it_belongs_to() -> None:
    target = Target("kms:Encrypt", f"arn:aws:kms:us-east-1:{HOME}:key/1234abcd-12ab-34cd-56ef-1234567890ab")
    assert record_of(root, (target,))["recipientAccountId"] == HOME
    assert record_of(backup, (Target("kms:ListKeys"), target))["recipientAccountId"] == HOME
    assert "recipientAccountId" not in record_of(backup)


def test_no_principal_is_named_for_a_signature_that_does_not_verify() -> None:
    log = MemorySink()
    trail = AuditTrail(log, entropy)
    for error, code in (
        (InvalidSignatureException("no"), "InvalidSignatureException"),
        (KMSInternalException(), "KMSInternalException"),
    ):
        trail.unverified(TABLE["Encrypt"], ORIGIN, error, NOW)
        assert log.records[-1]["userIdentity"] == {"type": "Unknown"}
        assert log.records[-1]["errorCode"] == code


def test_only_records_of_refusals_may_be_lost_while_the_log_cannot_be_written() -> None:
    log = MemorySink()
    trail = AuditTrail(log, entropy)
    credential = Credential(access_key_id="AKIAEXAMPLE", secret="s3cret", principal=root)
    call = Call(TABLE["ListKeys"], credential, "us-east-1", AwsJson(), b"{}", ORIGIN, NOW)
    completed = Completed(call, credential, ListKeysRequest(), (), None, ListKeysResponse(keys=[], truncated=False))
    trail.call(completed, "event")
    assert (len(log.records), log.refusals) == (1, 0)
    trail.call(Refused(call, credential, None, (), None, AccessDeniedException("no")), "event")
    trail.unverified(TABLE["Encrypt"], ORIGIN, InvalidSignatureException("no"), NOW)
    assert (len(log.records), log.refusals) == (3, 2)


@pytest.mark.parametrize(("access_key", "limit"), [("AKIAEXAMPLE", MAX_REFUSED), ("", MAX_UNAUTHENTICATED)])
def test_the_record_of_a_refused_call_is_bounded(access_key: str, limit: int) -> None:
    for size in (limit // 2, 2 * limit, 900_000):
        log = MemorySink()
        credential = Credential(access_key_id=access_key, secret="", principal=root)
        call = Call(TABLE["PutKeyPolicy"], credential, "us-east-1", AwsJson(), b"{}", ORIGIN, NOW)
        request = PutKeyPolicyRequest(key_id="k", policy="x" * size)
        refusal = AccessDeniedException("y" * 8000)
        AuditTrail(log, entropy).call(Refused(call, credential, request, (), None, refusal), "event")
        (record,) = log.records
        omitted = {"reason": "policy too large", "omitted": True, "originalSize": size + 2}
        shown = request.policy if size < limit else omitted
        assert record["requestParameters"] == {"keyId": "k", "policyName": "default", "policy": shown}
        assert log.size < limit + 2048


def test_the_record_of_a_change_holds_all_of_its_parameters() -> None:
    credential = Credential(access_key_id="AKIAEXAMPLE", secret="", principal=root)
    call = Call(IAM_TABLE["PutUserPolicy"], credential, "us-east-1", AwsJson(), b"{}", ORIGIN, NOW)
    # White space does not count against the size of a policy.
    request = PutUserPolicyRequest(user_name="eve", policy_name="p" * 128, policy_document="\n" * 131_072)
    for ended in (
        Completed(call, credential, request, (), None, Empty()),
        # Whether a change was committed is not always known after a fault.
        Refused(call, credential, request, (), None, KMSInternalException()),
    ):
        log = MemorySink()
        AuditTrail(log, entropy).call(ended, "event")
        assert log.records[0]["requestParameters"]["policyDocument"] == request.policy_document


def test_the_record_of_a_read_is_bounded() -> None:
    log = MemorySink()
    credential = Credential(access_key_id="AKIAEXAMPLE", secret="", principal=root)
    call = Call(TABLE["ListKeys"], credential, "us-east-1", AwsJson(), b"{}", ORIGIN, NOW)
    request = ListKeysRequest(marker="m" * 300_000)
    AuditTrail(log, entropy).call(Completed(call, credential, request, (), None, Empty()), "event")
    assert log.size < 4096


def test_a_long_message_is_cut() -> None:
    log = MemorySink()
    AuditTrail(log, entropy).unverified(TABLE["Encrypt"], ORIGIN, InvalidSignatureException("x" * 5000), NOW)
    assert log.records[0]["errorMessage"] == "x" * 1024


def test_no_secret_is_shown() -> None:
    credential = Credential(access_key_id="AKIAEXAMPLE", secret="s3cret", principal=root)
    assert "s3cret" not in repr(credential)
