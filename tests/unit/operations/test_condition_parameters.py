"""The parameters that conditions read: each member of each request type reaches its condition key.

A request type that has one of the members must pass it on.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from condition_requests import MEMBERS, NOW, ROWS, context_of, filler, request_with
from local_deployment import LocalDeployment
from strongroom.clock import ManualClock
from strongroom.operations.condition_keys import DecisionContext
from strongroom.operations.condition_parameters import NO_PARAMETERS, ConditionParameters, GrantParameters
from strongroom.operations.kms.table import TABLE
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Request
from strongroom.operations.targets import Target

NOT_FOR_CONDITIONS = {
    # The spec of a data key is not that of the KMS key.
    **dict.fromkeys(
        [("GenerateDataKey", "KeySpec"), ("GenerateDataKeyWithoutPlaintext", "KeySpec")], "another meaning"
    ),
    # A filter of a list is no property of a grant that is made.
    **dict.fromkeys([("ListGrants", "GranteePrincipal"), ("ListGrants", "GranteeServicePrincipal")], "a filter"),
    **dict.fromkeys(
        [("ListRetirableGrants", "RetiringPrincipal"), ("ListRetirableGrants", "RetiringServicePrincipal")], "a filter"
    ),
    # The policy is the resource itself. ``iam:PolicyARN`` is what is attached to, or detached from, another.
    **dict.fromkeys(
        [
            *(
                ("CreatePolicyVersion", "PolicyArn"),
                ("DeletePolicy", "PolicyArn"),
                ("DeletePolicyVersion", "PolicyArn"),
            ),
            *(("GetPolicy", "PolicyArn"), ("GetPolicyVersion", "PolicyArn"), ("ListEntitiesForPolicy", "PolicyArn")),
            *(("ListPolicyTags", "PolicyArn"), ("ListPolicyVersions", "PolicyArn"), ("TagPolicy", "PolicyArn")),
            *(("SetDefaultPolicyVersion", "PolicyArn"), ("UntagPolicy", "PolicyArn")),
        ],
        "the resource",
    ),
    # ``kms:PolicyName`` is the name of a key policy.
    ("CreatePolicy", "PolicyName"): "of a managed policy",
    **{
        (f"{verb}{kind}Policy", "PolicyName"): "of an inline policy"
        for verb in ("Put", "Get", "Delete")
        for kind in ("User", "Group", "Role")
    },
}
"""Operation and member → why its conditions do not see it."""

CASES = [
    (row, field.encode_name)
    for row in ROWS
    for field in msgspec.structs.fields(row.request)
    if field.encode_name in MEMBERS and (row.name, field.encode_name) not in NOT_FOR_CONDITIONS
]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    local = LocalDeployment(Path(tmp_path_factory.mktemp("data")), ManualClock(NOW))
    yield local
    local.deployment.close()


def action_of(row: Operation, member: str) -> str:
    if row.name == "ReEncrypt":
        return "kms:ReEncryptFrom" if member.startswith("Source") else "kms:ReEncryptTo"
    if (row.name, member) == ("ReplicateKey", "BypassPolicyLockoutSafetyCheck"):
        # ReplicateKey makes a key in the other Region, for which it also needs this.
        return "kms:CreateKey"
    return row.action


def decision(local: LocalDeployment, row: Operation, action: str, request: Request) -> DecisionContext:
    target = Target(action)
    return DecisionContext(context_of(local, row), request, target, (target,))


@pytest.mark.parametrize(("row", "member"), CASES, ids=lambda each: each if isinstance(each, str) else each.name)
def test_a_condition_sees_the_member(local: LocalDeployment, row: Operation, member: str) -> None:
    asked = decision(local, row, action_of(row, member), request_with(row, member))
    assert [(key, asked.read(key)) for key, _ in MEMBERS[member][1]] == MEMBERS[member][1]


def test_every_member_that_conditions_read_belongs_to_some_request() -> None:
    assert {member for _, member in CASES} == set(MEMBERS)
    assert len(CASES) > 70


@pytest.mark.parametrize(("name", "member"), NOT_FOR_CONDITIONS)
def test_a_member_of_another_meaning_is_not_seen(local: LocalDeployment, name: str, member: str) -> None:
    row = next(each for each in ROWS if each.name == name)
    request = request_with(row, member)
    asked = decision(local, row, row.action, request)
    assert [asked.read(key) for key, _ in MEMBERS[member][1]] == [None] * len(MEMBERS[member][1])


def test_requests_fill_every_parameter() -> None:
    """A parameter that no request type fills in would be a condition key that never has a value."""
    records = [request_with(row, member).condition_parameters(action_of(row, member)) for row, member in CASES]
    grants = [record.grant for record in records if record.grant is not None]
    assert filled(records, NO_PARAMETERS) == set(ConditionParameters.__struct_fields__)
    nothing = GrantParameters(
        operations=(),
        grantee_principal=None,
        grantee_service_principal=None,
        retiring_principal=None,
        retiring_service_principal=None,
        constraints=None,
    )
    assert filled(grants, nothing) == set(GrantParameters.__struct_fields__)


def filled(records: list[Any], empty: msgspec.Struct) -> set[str]:
    defaults = msgspec.structs.asdict(empty)
    return {name for each in records for name, value in msgspec.structs.asdict(each).items() if value != defaults[name]}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_tokens_and_recipients_are_passed_on_by_every_request_that_has_them(row: Operation) -> None:
    names = {field.encode_name for field in msgspec.structs.fields(row.request)}
    request = request_with(row)
    assert request.presented_grant_tokens() == ()
    assert request.attested_recipient() is None
    body = {"GrantTokens": ["token"], "Recipient": {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}}
    present = {name: value for name, value in body.items() if name in names}
    full = {
        field.encode_name: filler(row, field.encode_name)
        for field in msgspec.structs.fields(row.request)
        if field.required
    }
    request = row.decoder.decode(json.dumps(full | present).encode())
    assert list(request.presented_grant_tokens()) == present.get("GrantTokens", [])
    assert (request.attested_recipient() is not None) == ("Recipient" in present)


def test_parameters_are_collected_once_for_each_decision(local: LocalDeployment) -> None:
    row = TABLE["CreateKey"]
    asked = decision(local, row, row.action, request_with(row, "KeySpec"))
    assert asked.parameters is asked.parameters
