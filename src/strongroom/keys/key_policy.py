"""Key policy documents as text: the default one, and the form in which AWS hands documents back."""

from typing import cast

import msgspec

POLICY_NAME = "default"
"""The only name a key policy can have."""

MAX_POLICY_BYTES = 32 * 1024
"""Resource quota: 32 KB (KMS Developer Guide, "Quotas")."""

_Json = dict[str, object] | list[object] | str | int | float | bool | None


def default_policy(root: str) -> str:
    """Return the policy of a key created without one: it trusts the account root, so that IAM policies decide.

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


def reformat(text: str) -> str:
    """Return a JSON document in AWS's layout. The document has been parsed and accepted before."""
    return pretty(cast("_Json", msgspec.json.decode(text)))


def pretty(value: _Json, depth: int = 0) -> str:
    """Lay a document out as AWS does: ``"key" : value``, two spaces a level, lists on one line."""
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
