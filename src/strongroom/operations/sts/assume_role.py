"""AssumeRole and AssumeRoleWithWebIdentity."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from strongroom.errors import AccessDeniedException, ValidationException
from strongroom.iam import PrincipalKind
from strongroom.iam.entities import DEFAULT_SESSION_SECONDS, Role
from strongroom.iam.principals import web_identity
from strongroom.operations.authorization import assume_role_denial
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import merged_tags
from strongroom.operations.iam.shapes import Tag, TagKey
from strongroom.operations.shapes import Request, Response, matching
from strongroom.operations.sts.sessions import assumed_role_user, issue, packed_size, role_session
from strongroom.operations.sts.shapes import (
    AssumedRoleUser,
    Credentials,
    MinimumTokenSize,
    PolicyDescriptor,
    RoleArn,
    RoleDuration,
    RoleSessionName,
    SourceIdentity,
)
from strongroom.operations.targets import Target
from strongroom.snapshot.principals import ActiveRole, Credential

_CHAINED_SECONDS = 3600
_ARN_FIELDS = 6


class ProvidedContext(msgspec.Struct, rename="pascal", frozen=True):
    """A trusted context assertion: read, and refused."""

    provider_arn: RoleArn | None = None
    context_assertion: Annotated[str, Meta(min_length=4, max_length=2048)] | None = None


class AssumeRoleRequest(Request):
    """What AssumeRole takes."""

    role_arn: RoleArn
    role_session_name: RoleSessionName
    policy_arns: list[PolicyDescriptor] | None = None
    policy: Annotated[str, Meta(min_length=1), matching(r"[\u0009\u000A\u000D\u0020-\u00FF]+")] | None = None
    duration_seconds: RoleDuration | None = None
    tags: Annotated[list[Tag], Meta(max_length=50)] | None = None
    transitive_tag_keys: Annotated[list[TagKey], Meta(max_length=50)] | None = None
    external_id: Annotated[str, Meta(min_length=2, max_length=1224), matching(r"[\w+=,.@:\/-]*")] | None = None
    serial_number: Annotated[str, Meta(min_length=9, max_length=256), matching(r"[\w+=/:,.@-]*")] | None = None
    token_code: Annotated[str, Meta(min_length=6, max_length=6), matching(r"[\d]*")] | None = None
    source_identity: SourceIdentity | None = None
    provided_contexts: Annotated[list[ProvidedContext], Meta(max_length=5)] | None = None
    minimum_session_token_size: MinimumTokenSize | None = None


class AssumeRoleResponse(Response):
    """What AssumeRole returns."""

    credentials: Credentials
    assumed_role_user: AssumedRoleUser
    packed_policy_size: int | None = None
    source_identity: str | None = None


class AssumeRoleWithWebIdentityRequest(Request):
    """What AssumeRoleWithWebIdentity takes."""

    role_arn: RoleArn
    role_session_name: RoleSessionName
    web_identity_token: Annotated[str, Meta(min_length=4, max_length=20000)]
    provider_id: Annotated[str, Meta(min_length=4, max_length=2048)] | None = None
    policy_arns: list[PolicyDescriptor] | None = None
    policy: (
        Annotated[str, Meta(min_length=1, max_length=2048), matching(r"[\u0009\u000A\u000D\u0020-\u00FF]+")] | None
    ) = None
    duration_seconds: RoleDuration | None = None
    minimum_session_token_size: MinimumTokenSize | None = None


class AssumeRoleWithWebIdentityResponse(Response, kw_only=True):
    """What AssumeRoleWithWebIdentity returns."""

    credentials: Credentials
    subject_from_web_identity_token: str
    assumed_role_user: AssumedRoleUser
    packed_policy_size: int | None = None
    provider: str
    audience: str


def locate_assume_role(context: Context, request: AssumeRoleRequest) -> Sequence[Target]:
    """Ask the role's trust policy and the caller's policies; tags and a source identity are actions of their own."""
    if context.caller.kind is PrincipalKind.ACCOUNT_ROOT:
        raise AccessDeniedException("Roles may not be assumed by root accounts.")
    active = _role(context, request.role_arn, "sts:AssumeRole")
    actions = ["sts:AssumeRole"]
    if request.tags or _inherited(context):
        actions.append("sts:TagSession")
    if request.source_identity is not None:
        actions.append("sts:SetSourceIdentity")
    claims = {"sts:transitivetagkeys": tuple(request.transitive_tag_keys or ())}
    return tuple(
        Target(action, active.role.arn, policy=active.trust, tags=active.role.tags, claims=claims) for action in actions
    )


def assume_role(context: Context, request: AssumeRoleRequest) -> AssumeRoleResponse:
    """Return temporary credentials that speak for a role."""
    if request.serial_number is not None or request.provided_contexts:
        raise AccessDeniedException("MultiFactorAuthentication failed, there are no MFA devices here.")
    role = _role(context, request.role_arn, "sts:AssumeRole").role
    seconds = _seconds(role, request.duration_seconds)
    if context.credential.session is not None and seconds > _CHAINED_SECONDS:
        raise ValidationException(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        )
    inherited = _inherited(context)
    tags = merged_tags(inherited, [tag for tag in request.tags or () if tag.key.lower() not in _keys(inherited)])
    if any(tag.key.lower() in _keys(inherited) and tag.pair not in inherited for tag in request.tags or ()):
        raise ValidationException("One of the specified transitive tag keys can't be set because it conflicts")
    session = replace(
        role_session(context, role, request.role_session_name, request.policy, request.policy_arns),
        tags=tags,
        transitive=tuple(key for key, _ in inherited) + tuple(request.transitive_tag_keys or ()),
        source_identity=request.source_identity or context.credential.source_identity,
    )
    return AssumeRoleResponse(
        credentials=issue(context, session, seconds),
        assumed_role_user=assumed_role_user(role, request.role_session_name),
        packed_policy_size=packed_size(request.policy, tags),
        source_identity=session.source_identity,
    )


def locate_assume_role_with_web_identity(
    context: Context, request: AssumeRoleWithWebIdentityRequest
) -> Sequence[Target]:
    """Verify the token, which tells who calls, and ask the role's trust policy.

    Raises InvalidIdentityTokenException, IDPRejectedClaimException or ExpiredTokenException.
    """
    identity = context.backends.web_identities.verify(request.web_identity_token, context.now)
    fields = _fields(request.role_arn)
    provider = f"arn:{fields[1]}:iam::{fields[4]}:oidc-provider/{identity.provider}"
    principal = web_identity(provider, identity.subject)
    context.credential = Credential(access_key_id="", secret="", principal=principal, issued_at=context.now)
    action = "sts:AssumeRoleWithWebIdentity"
    active = _role(context, request.role_arn, action)
    claims = {f"{identity.provider}:{name}".lower(): values for name, values in identity.claims.items()}
    return (Target(action, active.role.arn, policy=active.trust, tags=active.role.tags, claims=claims),)


def assume_role_with_web_identity(
    context: Context, request: AssumeRoleWithWebIdentityRequest
) -> AssumeRoleWithWebIdentityResponse:
    """Return temporary credentials for the bearer of a verified token."""
    identity = context.backends.web_identities.verify(request.web_identity_token, context.now)
    role = _role(context, request.role_arn, "sts:AssumeRoleWithWebIdentity").role
    seconds = _seconds(role, request.duration_seconds)
    session = replace(
        role_session(context, role, request.role_session_name, request.policy, request.policy_arns),
        provider=f"arn:{role.partition}:iam::{role.account}:oidc-provider/{identity.provider}",
    )
    return AssumeRoleWithWebIdentityResponse(
        credentials=issue(context, session, seconds),
        subject_from_web_identity_token=identity.subject,
        assumed_role_user=assumed_role_user(role, request.role_session_name),
        packed_policy_size=packed_size(request.policy),
        provider=identity.issuer,
        audience=identity.audience,
    )


def _role(context: Context, arn: str, action: str) -> ActiveRole:
    """Return a role by its ARN; one that does not exist is refused like one that may not be assumed."""
    fields = _fields(arn)
    active = context.backends.snapshot.principals.role(fields[4], arn.rpartition("/")[2])
    if active is None or active.role.arn != arn:
        raise AccessDeniedException(assume_role_denial(context.caller, action, arn))
    return active


def _fields(arn: str) -> list[str]:
    fields = arn.split(":", _ARN_FIELDS - 1)
    if len(fields) != _ARN_FIELDS or fields[2] != "iam" or not fields[5].startswith("role/"):
        raise ValidationException(f"{arn} is invalid")
    return fields


def _seconds(role: Role, asked: int | None) -> int:
    if asked is not None and asked > role.max_session_seconds:
        raise ValidationException("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    return asked or DEFAULT_SESSION_SECONDS


def _inherited(context: Context) -> tuple[tuple[str, str], ...]:
    """Return the session tags that a chained session keeps."""
    session = context.credential.session
    if session is None:
        return ()
    transitive = {key.lower() for key in session.transitive}
    return tuple(pair for pair in session.tags if pair[0].lower() in transitive)


def _keys(tags: Sequence[tuple[str, str]]) -> set[str]:
    return {key.lower() for key, _ in tags}
