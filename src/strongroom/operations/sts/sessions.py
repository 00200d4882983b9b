"""Sessions of roles: their contents and the limits of their policies and tags."""

import math
from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace

from strongroom.arns import account_in
from strongroom.audit.cloudtrail import event_time
from strongroom.errors import (
    MalformedPolicyDocumentException,
    PackedPolicyTooLargeException,
    ValidationException,
)
from strongroom.iam import MalformedPolicy, PolicyKind, accept_policy
from strongroom.iam.entities import Role
from strongroom.iam.session import Session
from strongroom.operations.context import Context
from strongroom.operations.sts.shapes import AssumedRoleUser, Credentials, PolicyDescriptor
from strongroom.snapshot.identity_policies import document_of

# In characters: the limits of a policy, and of policy and tags together. AWS does not publish how it packs them.
_MAX_POLICY = 2048
_MAX_POLICY_ARNS = 10
_MAX_PACKED = 4096
_ALL = 100


class GivesCredentials(Protocol):
    """A response that has temporary credentials."""

    @property
    def credentials(self) -> Credentials:
        """The credentials."""
        ...


def blank(account: str, partition: str, *, unique_id: str = "") -> Session:
    """Return a session of a principal without access key, secret and times. ``session_tokens.issue`` adds these."""
    return Session(
        access_key_id="",
        secret="",
        account=account,
        partition=partition,
        unique_id=unique_id,
        issued_at=0.0,
        expires_at=0.0,
    )


def role_session(
    context: Context,
    role: Role,
    name: str,
    policy: str | None,
    policy_arns: Sequence[PolicyDescriptor] | None,
) -> Session:
    """Return a session of a role, limited by session policies.

    Raises MalformedPolicyDocumentException, ValidationException.
    """
    arns = tuple(each.arn for each in policy_arns or () if each.arn is not None)
    if len(arns) > _MAX_POLICY_ARNS:
        raise ValidationException(f"You can specify up to {_MAX_POLICY_ARNS} managed policy ARNs.")
    with context.read() as reader:
        for arn in arns:
            own = account_in(arn) in {"aws", role.account}
            if not own or document_of(reader, arn) is None:
                raise MalformedPolicyDocumentException(f"Invalid policy ARN: {arn}")
    if policy is not None:
        try:
            accept_policy(policy, PolicyKind.IDENTITY)
        except MalformedPolicy as error:
            raise MalformedPolicyDocumentException(str(error)) from None
    return replace(
        blank(role.account, role.partition, unique_id=role.unique_id),
        session_name=name,
        policies=() if policy is None else (policy,),
        policy_arns=arns,
    )


def packed_size(policy: str | None, tags: Sequence[tuple[str, str]] = ()) -> int | None:
    """Return how much of the space for session policies and tags is used, in percent; None if there are none.

    Raises PackedPolicyTooLargeException for more than all of it.
    """
    length = len(policy or "")
    size = length + sum(len(key) + len(value) for key, value in tags)
    percent = math.ceil(100 * max(length / _MAX_POLICY, size / _MAX_PACKED))
    if percent > _ALL:
        raise PackedPolicyTooLargeException(
            f"Packed policy consumes {percent}% of allotted space, please use smaller policy."
        )
    return percent or None


def credentials_elements(response: GivesCredentials, _targets: object) -> dict[str, object]:
    """Return what the audit record shows of new credentials: never the secret, nor the token."""
    credentials = response.credentials
    shown = {"accessKeyId": credentials.access_key_id, "expiration": event_time(credentials.expiration)}
    return {"credentials": shown}


def assumed_role_user(role: Role, name: str) -> AssumedRoleUser:
    """Return a session of a role as the answer names it."""
    arn = f"arn:{role.partition}:sts::{role.account}:assumed-role/{role.name}/{name}"
    return AssumedRoleUser(f"{role.unique_id}:{name}", arn)
