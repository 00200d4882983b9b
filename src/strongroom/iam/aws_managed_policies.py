"""The AWS managed policies that concern this service. They have AWS's ARNs, so that scripts which attach them work.

Source: AWS Managed Policy Reference. Actions of services that do not exist here are left out.
"""

import json

import msgspec

_CREATED_AT = 1_423_161_600.0


class AwsPolicy(msgspec.Struct, frozen=True):
    """An AWS managed policy. No account can change it. ``created_at`` is in epoch seconds."""

    name: str
    arn: str
    description: str
    document: str
    path: str = "/"
    policy_id: str = ""
    created_at: float = _CREATED_AT


def _policy(name: str, description: str, *actions: str) -> AwsPolicy:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return AwsPolicy(
        name=name,
        arn=f"arn:aws:iam::aws:policy/{name}",
        description=description,
        document=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        policy_id="ANPA" + "".join(letter for letter in name.upper() if letter.isalnum())[:17].ljust(17, "A"),
    )


AWS_POLICIES = {
    each.arn: each
    for each in (
        _policy("AdministratorAccess", "Provides full access to AWS services and resources.", "*"),
        _policy("IAMFullAccess", "Provides full access to IAM via the AWS Management Console.", "iam:*"),
        _policy(
            "IAMReadOnlyAccess",
            "Provides read only access to IAM via the AWS Management Console.",
            *("iam:GenerateCredentialReport", "iam:GenerateServiceLastAccessedDetails"),
            *("iam:Get*", "iam:List*", "iam:SimulateCustomPolicy", "iam:SimulatePrincipalPolicy"),
        ),
        _policy("ReadOnlyAccess", "Provides read-only access to AWS services and resources.",
            *("iam:Generate*", "iam:Get*", "iam:List*", "iam:Simulate*"),
            *("kms:Describe*", "kms:Get*", "kms:List*", "sts:Get*"),
        ),
        _policy("PowerUserAccess", "Provides full access to AWS services, but does not allow management of users.",
            *("kms:*", "sts:*", "iam:ListRoles"),
        ),
        _policy(
            "AWSKeyManagementServicePowerUser",
            "Provides access to AWS Key Management Service (KMS).",
            *("kms:CreateAlias", "kms:CreateKey", "kms:DeleteAlias", "kms:Describe*", "kms:GenerateRandom"),
            *("kms:Get*", "kms:List*", "kms:TagResource", "kms:UntagResource"),
            *("iam:ListGroups", "iam:ListRoles", "iam:ListUsers"),
        ),
    )
}  # fmt: skip
"""ARN → policy."""
