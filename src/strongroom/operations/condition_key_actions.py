"""The actions that the condition keys of KMS, IAM and STS exist for. On others such a key is absent.

Otherwise a condition on it would allow what AWS does not: who may attach one policy could rewrite it, if
``iam:PolicyARN`` were there for CreatePolicyVersion. Source: Service Authorization Reference, tables of actions.
"""

from collections.abc import Mapping

BOUNDARY_KEY = "iam:permissionsboundary"
IAM_RESOURCE_TAG = "iam:resourcetag/"
_SERVICES = ("iam:", "kms:", "sts:")

_ACTIONS: Mapping[str, frozenset[str]] = {
    BOUNDARY_KEY: frozenset(
        f"iam:{verb}{kind}{what}"
        for kind in ("User", "Role")
        for verb, what in (
            ("Create", ""),
            ("Attach", "Policy"),
            ("Detach", "Policy"),
            ("Put", "Policy"),
            ("Delete", "Policy"),
            ("Put", "PermissionsBoundary"),
            ("Delete", "PermissionsBoundary"),
        )
    )
    | {"iam:DeleteRole", "iam:GetRole", "iam:UpdateRole", "iam:UpdateRoleDescription", "iam:UpdateAssumeRolePolicy"},
    "iam:policyarn": frozenset(
        f"iam:{verb}{kind}Policy" for kind in ("User", "Group", "Role") for verb in ("Attach", "Detach")
    ),
    "kms:bypasspolicylockoutsafetycheck": frozenset({"kms:CreateKey", "kms:PutKeyPolicy"}),
    "kms:grantisforawsresource": frozenset({"kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"}),
}
"""Condition key → its actions, where those are not all that carry its value."""


def exists_for(name: str, action: str) -> bool:
    """Tell whether a condition key, in lower case, exists for an action, whatever the request carries."""
    actions = _ACTIONS.get(name)
    if actions is not None:
        return action in actions
    if name.startswith(IAM_RESOURCE_TAG):
        # What is done to a role by way of STS has the tags of the role.
        return action.startswith(("iam:", "sts:"))
    return action.startswith(next((service for service in _SERVICES if name.startswith(service)), ""))
