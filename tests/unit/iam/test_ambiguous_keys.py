"""Condition keys that two names stand for: no Allow applies by them, and every Deny does."""

import pytest

from policies import ALICE, KEY, Json, allow, compiled, deny
from strongroom.iam import AmbiguousConditionKey, AuthorizationRequest, Policies, PolicyKind, decide
from strongroom.iam.principals import iam_user

two_teams = iam_user(
    ALICE, user_id="AIDAALICEALICEALICE12", tags={"team": "red", "Team": "blue", "S": "1", "\u017f": "2"}
)


def context(name: str) -> tuple[str, ...] | None:
    if name == "aws:resourcetag/env":
        raise AmbiguousConditionKey(name)
    return None


CONDITIONS: list[Json] = [
    {"StringEquals": {"aws:ResourceTag/Env": "test"}},
    {"StringNotEquals": {"aws:ResourceTag/env": "test"}},
    {"StringEqualsIfExists": {"aws:ResourceTag/ENV": "*"}},
    {"ForAllValues:StringLike": {"aws:ResourceTag/env": "*"}},
    {"Null": {"aws:ResourceTag/env": "false"}},
    {"Null": {"aws:ResourceTag/env": "true"}},
    {"StringEquals": {"aws:PrincipalTag/TEAM": "red"}},
    {"StringLike": {"aws:PrincipalTag/team": "*"}},
    {"StringEquals": {"aws:PrincipalTag/s": "1"}},
    {"StringNotEquals": {"aws:PrincipalTag/\u017f": "1"}},
    {"StringEquals": {"aws:PrincipalArn": "${aws:ResourceTag/env}"}},
    {"StringNotEquals": {"aws:PrincipalArn": "${aws:PrincipalTag/team}"}},
]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_no_allow_and_every_deny(condition: Json) -> None:
    request = AuthorizationRequest(two_teams, "kms:Encrypt", KEY, context)
    allowing = compiled(PolicyKind.RESOURCE, allow(ALICE, when=condition))
    denying = compiled(PolicyKind.RESOURCE, allow(ALICE), deny(ALICE, when=condition))
    assert not decide(request, Policies(resource=allowing)).allowed
    assert not decide(request, Policies(resource=denying)).allowed


@pytest.mark.parametrize("element", ["Resource", "NotResource"])
def test_a_resource_with_an_ambiguous_variable(element: str) -> None:
    request = AuthorizationRequest(two_teams, "kms:Encrypt", KEY, context)
    pattern: Json = {element: "arn:aws:kms:*:*:key/${aws:PrincipalTag/team}*"}
    allowing = compiled(PolicyKind.RESOURCE, allow(ALICE, on=None, **pattern))
    denying = compiled(PolicyKind.RESOURCE, allow(ALICE), deny(ALICE, on=None, **pattern))
    assert not decide(request, Policies(resource=allowing)).allowed
    assert not decide(request, Policies(resource=denying)).allowed


def test_another_condition_of_the_statement_still_decides() -> None:
    request = AuthorizationRequest(two_teams, "kms:Encrypt", KEY, context)
    elsewhere = {"StringEquals": {"aws:ResourceTag/env": "test", "aws:PrincipalAccount": "444455556666"}}
    policy = compiled(PolicyKind.RESOURCE, allow(ALICE), deny(ALICE, when=elsewhere))
    assert decide(request, Policies(resource=policy)).allowed
