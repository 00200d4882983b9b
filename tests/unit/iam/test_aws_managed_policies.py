import re

import pytest

from policies import KEY, alice
from strongroom.iam import AuthorizationRequest, PolicyKind, compile_policy, parse_policy
from strongroom.iam.aws_managed_policies import AWS_POLICIES

ARN = "arn:aws:iam::aws:policy/"


def allows(name: str, action: str) -> bool:
    policy = compile_policy(parse_policy(AWS_POLICIES[ARN + name].document, PolicyKind.IDENTITY))
    return policy.allowance(AuthorizationRequest(alice, action, KEY, lambda _: None)) is not None


@pytest.mark.parametrize("arn", AWS_POLICIES)
def test_each_policy_has_its_arn_as_key_and_a_unique_id(arn: str) -> None:
    policy = AWS_POLICIES[arn]
    assert arn == ARN + policy.name
    assert re.fullmatch("ANPA[A-Z0-9]{17}", policy.policy_id)
    assert policy.description
    assert sum(each.policy_id == policy.policy_id for each in AWS_POLICIES.values()) == 1


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("AdministratorAccess", ["kms:Decrypt", "iam:CreateUser", "sts:AssumeRole"], []),
        ("IAMFullAccess", ["iam:CreateUser", "iam:GetUser"], ["kms:Decrypt", "kms:DescribeKey"]),
        (
            "IAMReadOnlyAccess",
            ["iam:GetUser", "iam:ListUsers", "iam:GenerateCredentialReport", "iam:GenerateServiceLastAccessedDetails"],
            ["iam:CreateUser", "kms:DescribeKey"],
        ),
        (
            "ReadOnlyAccess",
            [
                *("kms:DescribeKey", "kms:ListKeys", "iam:GetUser"),
                *("iam:GenerateCredentialReport", "iam:GenerateServiceLastAccessedDetails", "iam:SimulateCustomPolicy"),
            ],
            ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "kms:GenerateRandom", "iam:TagUser"],
        ),
        ("PowerUserAccess", ["kms:Decrypt", "iam:ListRoles"], ["iam:CreateUser", "iam:CreateAccessKey"]),
        (
            "AWSKeyManagementServicePowerUser",
            ["kms:CreateKey", "kms:DescribeKey", "kms:GenerateRandom", "kms:TagResource", "iam:ListUsers"],
            ["kms:Encrypt", "kms:Decrypt", "kms:ScheduleKeyDeletion", "kms:PutKeyPolicy", "kms:DisableKey"],
        ),
    ],
)
def test_the_actions_that_aws_managed_policies_allow(name: str, allowed: list[str], refused: list[str]) -> None:
    """AWS Managed Policy Reference, as far as the services exist here."""
    assert [action for action in allowed + refused if allows(name, action)] == allowed
