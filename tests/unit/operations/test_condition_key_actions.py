"""The actions that the condition keys of IAM and KMS exist for: no others than on AWS.

A key that is there for more actions makes a broad Allow with a condition on it give more than on AWS, and a broad Deny
deny less. Source: Service Authorization Reference, "Actions, resources, and condition keys" for IAM, KMS and STS, in
2026.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from condition_requests import MEMBERS, NOW, ROWS, context_of, request_with
from local_deployment import ORIGIN, LocalDeployment
from strongroom.clock import ManualClock
from strongroom.operations.condition_key_actions import BOUNDARY_KEY
from strongroom.operations.condition_keys import DecisionContext
from strongroom.operations.operation import Operation
from strongroom.operations.targets import Target

BOUNDARY = "arn:aws:iam::000000000000:policy/limit"
DATA_KEYS = {f"GenerateDataKey{form}" for form in ("", "WithoutPlaintext", "Pair", "PairWithoutPlaintext")}
IN_CONTEXT = {"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", *DATA_KEYS}
ONLY_FOR: dict[str, set[str]] = {
    "iam:PermissionsBoundary": {
        *("CreateUser", "AttachUserPolicy", "DetachUserPolicy", "PutUserPolicy", "DeleteUserPolicy"),
        *("PutUserPermissionsBoundary", "DeleteUserPermissionsBoundary"),
        *("CreateRole", "AttachRolePolicy", "DetachRolePolicy", "PutRolePolicy", "DeleteRolePolicy"),
        *("PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary"),
        *("DeleteRole", "GetRole", "UpdateRole", "UpdateRoleDescription", "UpdateAssumeRolePolicy"),
    },
    "iam:PolicyARN": {
        *("AttachUserPolicy", "AttachGroupPolicy", "AttachRolePolicy"),
        *("DetachUserPolicy", "DetachGroupPolicy", "DetachRolePolicy"),
    },
    "kms:BypassPolicyLockoutSafetyCheck": {"CreateKey", "PutKeyPolicy"},
    "kms:DataKeyPairSpec": {"GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"},
    "kms:EncapsulationAlgorithm": {"Encapsulate", "Decapsulate"},
    "kms:EncryptionAlgorithm": IN_CONTEXT,
    "kms:EncryptionContext:Team": {*IN_CONTEXT, "CreateGrant", "RetireGrant"},
    "kms:EncryptionContextKeys": {*IN_CONTEXT, "CreateGrant", "RetireGrant"},
    "kms:ExpirationModel": {"ImportKeyMaterial"},
    "kms:GrantConstraintSourceArn": {"CreateGrant"},
    "kms:GrantConstraintType": {"CreateGrant", "RetireGrant"},
    "kms:GrantIsForAWSResource": {"CreateGrant", "ListGrants", "RevokeGrant"},
    "kms:GrantOperations": {"CreateGrant"},
    "kms:GranteePrincipal": {"CreateGrant"},
    "kms:GranteeServicePrincipal": {"CreateGrant"},
    "kms:KeyAgreementAlgorithm": {"DeriveSharedSecret"},
    "kms:MacAlgorithm": {"GenerateMac", "VerifyMac"},
    "kms:MessageType": {"Sign", "Verify"},
    "kms:PolicyName": {"GetKeyPolicy", "PutKeyPolicy"},
    "kms:PrimaryRegion": {"UpdatePrimaryRegion"},
    "kms:ReplicaRegion": {"ReplicateKey"},
    "kms:RetiringPrincipal": {"CreateGrant"},
    "kms:RetiringServicePrincipal": {"CreateGrant"},
    "kms:RotationPeriodInDays": {"EnableKeyRotation"},
    "kms:ScheduleKeyDeletionPendingWindowInDays": {"ScheduleKeyDeletion"},
    "kms:SigningAlgorithm": {"Sign", "Verify"},
    "kms:ValidTo": {"ImportKeyMaterial"},
    "kms:WrappingAlgorithm": {"GetParametersForImport"},
    "kms:WrappingKeySpec": {"GetParametersForImport"},
}
"""Condition key → the actions, without their service, that it exists for."""

ANY_ACTION_OF_A_SERVICE = ["kms:CallerAccount", "kms:KeySpec", "kms:MultiRegion", "kms:RequestAlias", "kms:ViaService"]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    local = LocalDeployment(Path(tmp_path_factory.mktemp("data")), ManualClock(NOW))
    yield local
    local.deployment.close()


def actions_of(row: Operation) -> list[str]:
    """Return the actions that a call of an operation can need."""
    further = {"ReplicateKey": ["kms:CreateKey", "kms:TagResource"], "CreateKey": ["kms:TagResource"]}
    further |= {"CreateUser": ["iam:TagUser"], "CreateRole": ["iam:TagRole"], "CreatePolicy": ["iam:TagPolicy"]}
    further |= {"AddRoleToInstanceProfile": ["iam:PassRole"], "AssumeRole": ["sts:TagSession", "sts:SetSourceIdentity"]}
    if row.name == "ReEncrypt":
        return ["kms:ReEncryptFrom", "kms:ReEncryptTo"]
    return [row.action, *further.get(row.name, [])]


def asked(local: LocalDeployment, row: Operation, action: str) -> DecisionContext:
    """Return what conditions see of a call that sends all members that any condition could want."""
    call = context_of(local, row, msgspec.structs.replace(ORIGIN, via_service="backup.amazonaws.com"))
    fields = {field.encode_name for field in msgspec.structs.fields(row.request)}
    target = Target(action, tags=(("Team", "red"),), alias="alias/one", claims={BOUNDARY_KEY: (BOUNDARY,)})
    return DecisionContext(
        call, request_with(row, *(member for member in MEMBERS if member in fields)), target, (target,)
    )


CALLS = [(row, action) for row in ROWS for action in actions_of(row)]


@pytest.mark.parametrize("key", ONLY_FOR)
def test_a_key_exists_for_its_actions_only(local: LocalDeployment, key: str) -> None:
    service = key.partition(":")[0]
    elsewhere = {
        action
        for row, action in CALLS
        if asked(local, row, action).read(key.lower()) is not None
        and action not in {f"{service}:{name}" for name in ONLY_FOR[key]}
    }
    assert elsewhere == set()


@pytest.mark.parametrize(
    "key", ["iam:PermissionsBoundary", "iam:PolicyARN", "kms:EncapsulationAlgorithm", "kms:GrantIsForAWSResource"]
)
def test_a_key_exists_for_all_of_its_actions(local: LocalDeployment, key: str) -> None:
    service = key.partition(":")[0]
    there = {action for row, action in CALLS if asked(local, row, action).read(key.lower()) is not None}
    assert there == {f"{service}:{name}" for name in ONLY_FOR[key]}


@pytest.mark.parametrize("key", [*ANY_ACTION_OF_A_SERVICE, "iam:ResourceTag/Team"])
def test_a_key_of_one_service_does_not_exist_for_another(local: LocalDeployment, key: str) -> None:
    # STS acts on roles, which have the tags that IAM gave them.
    own = {key.partition(":")[0]} | ({"sts"} if key.startswith("iam:ResourceTag/") else set())
    there = {action.partition(":")[0] for row, action in CALLS if asked(local, row, action).read(key.lower())}
    assert there == own
