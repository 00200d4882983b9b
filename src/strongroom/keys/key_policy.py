"""Key policy documents as text: the default policies, and the layout in which AWS returns documents."""

from typing import cast

import msgspec

POLICY_NAME = "default"
"""The only name a key policy can have."""

MAX_POLICY_BYTES = 32 * 1024
"""Resource quota: 32 KB (KMS Developer Guide, "Quotas")."""

_Json = dict[str, object] | list[object] | str | int | float | bool | None


def default_policy(root: str) -> str:
    """Return the policy of a key created without one: it allows the account, so that IAM policies decide.

    ``root`` is the ARN of the account's root. Source: KMS Developer Guide, "Default key policy".
    """
    return pretty(
        {
            "Version": "2012-10-17",
            "Id": "key-default-1",
            "Statement": [
                {
                    "Sid": "Enable IAM User Permissions",
                    "Effect": "Allow",
                    "Principal": {"AWS": root},
                    "Action": "kms:*",
                    "Resource": "*",
                }
            ],
        }
    )


def managed_policy(service: str, region: str, account: str, root: str) -> str:
    """Return the policy of the AWS managed key of a service: all principals of the account, only through the service.

    Source: KMS Developer Guide, "View the policy document of an AWS managed key".
    """
    through = {"kms:CallerAccount": account, "kms:ViaService": f"{service}.{region}.amazonaws.com"}
    return pretty(
        {
            "Version": "2012-10-17",
            "Id": f"auto-{service}-1",
            "Statement": [
                {
                    "Sid": f"Allow access through {service} for all principals in the account that are authorized to "
                    f"use {service}",
                    "Effect": "Allow",
                    "Principal": {"AWS": "*"},
                    "Action": [
                        "kms:Encrypt",
                        "kms:Decrypt",
                        "kms:ReEncrypt*",
                        "kms:GenerateDataKey*",
                        "kms:CreateGrant",
                        "kms:DescribeKey",
                    ],
                    "Resource": "*",
                    "Condition": {"StringEquals": cast("_Json", through)},
                },
                {
                    "Sid": "Allow direct access to key metadata to the account",
                    "Effect": "Allow",
                    "Principal": {"AWS": root},
                    "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
                    "Resource": "*",
                },
            ],
        }
    )


def reformat(text: str) -> str:
    """Return a JSON document in AWS's layout. It must be a valid policy."""
    return pretty(cast("_Json", msgspec.json.decode(text)))


def pretty(value: _Json, depth: int = 0) -> str:
    """Format a document as AWS does: ``"key" : value``, two spaces a level, lists on one line."""
    if isinstance(value, dict):
        if not value:
            return "{ }"
        pad = "  " * (depth + 1)
        members = [f"{pad}{_scalar(key)} : {pretty(cast('_Json', member), depth + 1)}" for key, member in value.items()]
        return "{\n" + ",\n".join(members) + "\n" + "  " * depth + "}"
    if isinstance(value, list):
        return "[ " + ", ".join(pretty(cast("_Json", item), depth) for item in value) + " ]" if value else "[ ]"
    return _scalar(value)


def _scalar(value: str | float | None) -> str:
    return msgspec.json.encode(value).decode()
