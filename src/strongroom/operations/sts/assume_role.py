"""AssumeRole and AssumeRoleWithWebIdentity."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace
from typing_extensions import override

from strongroom.arns import Arn, parse_arn
from strongroom.crypto.documents.web_identity import WebIdentity, read_token
from strongroom.errors import AccessDeniedException, InvalidParameterValueException, TargetChanged, ValidationException
from strongroom.iam import PrincipalKind, assume_role_denial_message
from strongroom.iam.entities import DEFAULT_SESSION_SECONDS, Role
from strongroom.iam.principals import web_identity
from strongroom.keys.names import DUPLICATE_KEYS, folded
from strongroom.operations.condition_parameters import ConditionParameters, tag_pairs
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import merged_tags
from strongroom.operations.iam.shapes import Tag, TagKey
from strongroom.operations.shapes import SENSITIVE, Request, Response, at_most, matching
from strongroom.operations.sts.session_tokens import issue
from strongroom.operations.sts.sessions import (
    assumed_role_user,
    credentials_elements,
    packed_size,
    role_session,
)
from strongroom.operations.sts.shapes import (
    AssumedRoleUser,
    Credentials,
    MinimumTokenSize,
    PolicyArns,
    RoleArn,
    RoleDuration,
    RoleSessionName,
    SourceIdentity,
)
from strongroom.operations.targets import Target
from strongroom.snapshot.miss import MustWait
from strongroom.snapshot.principals import ActiveRole, Credential

_CHAINED_SECONDS = 3600


class ProvidedContext(msgspec.Struct, rename="pascal", frozen=True):
    """A trusted context assertion. Requests with one are refused."""

    provider_arn: RoleArn | None = None
    context_assertion: Annotated[str, Meta(min_length=4, max_length=2048)] | None = None


class AssumeRoleRequest(Request):
    """The request of AssumeRole."""

    role_arn: RoleArn
    role_session_name: RoleSessionName
    policy_arns: PolicyArns | None = None
    policy: (
        Annotated[str, Meta(min_length=1), at_most(131072), matching(r"[\u0009\u000A\u000D\u0020-\u00FF]+")] | None
    ) = None
    duration_seconds: RoleDuration | None = None
    tags: Annotated[list[Tag], Meta(max_length=50)] | None = None
    transitive_tag_keys: Annotated[list[TagKey], Meta(max_length=50)] | None = None
    external_id: Annotated[str, Meta(min_length=2, max_length=1224), matching(r"[\w+=,.@:\/-]*")] | None = None
    serial_number: Annotated[str, Meta(min_length=9, max_length=256), matching(r"[\w+=/:,.@-]*")] | None = None
    token_code: Annotated[str, Meta(min_length=6, max_length=6), matching(r"[\d]*")] | None = None
    source_identity: SourceIdentity | None = None
    provided_contexts: Annotated[list[ProvidedContext], Meta(min_length=1, max_length=5)] | None = None
    minimum_session_token_size: MinimumTokenSize | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(
            external_id=self.external_id,
            role_session_name=self.role_session_name,
            source_identity=self.source_identity,
            tags=tag_pairs(self.tags),
        )


class AssumeRoleResponse(Response):
    """The response of AssumeRole."""

    credentials: Credentials
    assumed_role_user: AssumedRoleUser
    packed_policy_size: int | None = None
    source_identity: str | None = None


class AssumeRoleWithWebIdentityRequest(Request):
    """The request of AssumeRoleWithWebIdentity."""

    role_arn: RoleArn
    role_session_name: RoleSessionName
    web_identity_token: Annotated[str, Meta(min_length=4, max_length=20000), SENSITIVE]
    provider_id: Annotated[str, Meta(min_length=4, max_length=2048)] | None = None
    policy_arns: PolicyArns | None = None
    policy: (
        Annotated[str, Meta(min_length=1, max_length=2048), matching(r"[\u0009\u000A\u000D\u0020-\u00FF]+")] | None
    ) = None
    duration_seconds: RoleDuration | None = None
    minimum_session_token_size: MinimumTokenSize | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(role_session_name=self.role_session_name)


class AssumeRoleWithWebIdentityResponse(Response, kw_only=True):
    """The response of AssumeRoleWithWebIdentity."""

    credentials: Credentials
    subject_from_web_identity_token: str
    assumed_role_user: AssumedRoleUser
    packed_policy_size: int | None = None
    provider: str
    audience: str


def locate_assume_role(context: Context, request: AssumeRoleRequest) -> Sequence[Target]:
    """Return the targets: the role, once for each action. Tags and a source identity need further actions."""
    if context.caller.kind is PrincipalKind.ACCOUNT_ROOT:
        raise AccessDeniedException("Roles may not be assumed by root accounts.")
    active = _role(context, request.role_arn, "sts:AssumeRole")
    context.role_id = active.role.unique_id
    actions = ["sts:AssumeRole"]
    # Tags that the session inherits need the same permission as new ones.
    if request.tags or _inherited(context):
        actions.append("sts:TagSession")
    if request.source_identity is not None or context.credential.source_identity is not None:
        actions.append("sts:SetSourceIdentity")
    claims = {"sts:transitivetagkeys": tuple(request.transitive_tag_keys or ())}
    return tuple(
        Target(action, active.role.arn, policy=active.trust, tags=active.role.tags, claims=claims) for action in actions
    )


def assume_role(context: Context, request: AssumeRoleRequest) -> AssumeRoleResponse:
    """Return temporary credentials for a session of a role."""
    if request.serial_number is not None or request.provided_contexts:
        raise AccessDeniedException("MultiFactorAuthentication failed, there are no MFA devices here.")
    role = _authorized_role(context, request.role_arn, "sts:AssumeRole")
    seconds = _seconds(role, request.duration_seconds)
    if context.credential.session is not None and seconds > _CHAINED_SECONDS:
        # AWS says the same whether the temporary credentials are of a role or of GetSessionToken.
        raise ValidationException(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
        )
    tags, transitive = _session_tags(context, request)
    packed = packed_size(request.policy, tags)
    session = replace(
        role_session(context, role, request.role_session_name, request.policy, request.policy_arns),
        tags=tags,
        transitive=transitive,
        source_identity=_source_identity(context, request),
    )
    return AssumeRoleResponse(
        credentials=issue(context, session, seconds, request.minimum_session_token_size),
        assumed_role_user=assumed_role_user(role, request.role_session_name),
        packed_policy_size=packed,
        source_identity=session.source_identity,
    )


def locate_assume_role_with_web_identity(
    context: Context, request: AssumeRoleWithWebIdentityRequest
) -> Sequence[Target]:
    """Verify the token, which authenticates the caller, and return the target: the role with its trust policy.

    Raises ValidationException, InvalidIdentityTokenException, IDPRejectedClaimException or ExpiredTokenException.
    """
    named = _role_arn(request.role_arn)
    identity = _verified(context, named.account, request.web_identity_token)
    provider = f"arn:{named.partition}:iam::{named.account}:oidc-provider/{identity.provider}"
    principal = web_identity(provider, identity.subject, audience=identity.audience)
    context.credential = Credential(access_key_id="", secret="", principal=principal)
    action = "sts:AssumeRoleWithWebIdentity"
    active = _role(context, request.role_arn, action)
    context.role_id = active.role.unique_id
    claims = {f"{identity.provider.lower()}:{name}": values for name, values in identity.claims.items()}
    return (Target(action, active.role.arn, policy=active.trust, tags=active.role.tags, claims=claims),)


def assume_role_with_web_identity(
    context: Context, request: AssumeRoleWithWebIdentityRequest
) -> AssumeRoleWithWebIdentityResponse:
    """Return temporary credentials for the bearer of a verified token."""
    identity = _verified(context, _role_arn(request.role_arn).account, request.web_identity_token)
    role = _authorized_role(context, request.role_arn, "sts:AssumeRoleWithWebIdentity")
    seconds = _seconds(role, request.duration_seconds)
    packed = packed_size(request.policy)
    session = replace(
        role_session(context, role, request.role_session_name, request.policy, request.policy_arns),
        provider=f"arn:{role.partition}:iam::{role.account}:oidc-provider/{identity.provider}",
    )
    return AssumeRoleWithWebIdentityResponse(
        credentials=issue(context, session, seconds, request.minimum_session_token_size),
        subject_from_web_identity_token=identity.subject,
        assumed_role_user=assumed_role_user(role, request.role_session_name),
        packed_policy_size=packed,
        provider=identity.issuer,
        audience=identity.audience,
    )


def assume_role_elements(
    response: AssumeRoleResponse | AssumeRoleWithWebIdentityResponse, targets: Sequence[Target]
) -> dict[str, object]:
    """Return what CloudTrail shows of a new role session, without its token."""
    user = response.assumed_role_user
    shown = credentials_elements(response, targets)
    shown["assumedRoleUser"] = {"assumedRoleId": user.assumed_role_id, "arn": user.arn}
    if isinstance(response, AssumeRoleWithWebIdentityResponse):
        shown["subjectFromWebIdentityToken"] = response.subject_from_web_identity_token
        shown["provider"], shown["audience"] = response.provider, response.audience
    elif response.source_identity is not None:
        shown["sourceIdentity"] = response.source_identity
    return shown


def _verified(context: Context, account: str, text: str) -> WebIdentity:
    """Return the identity in a token, whose issuer the account of the role must trust."""
    backends, token = context.backends, read_token(text)
    own = backends.snapshot.principals.oidc_provider(account, token.issuer, may_wait=context.may_wait)
    if backends.web_identities.may_fetch(own) and not context.may_wait:
        raise MustWait
    return backends.web_identities.verify(token, own, context.now)


def _role(context: Context, arn: str, action: str) -> ActiveRole:
    """Return a role by its ARN. One that does not exist is refused like one that the caller cannot assume."""
    named = _role_arn(arn)
    active = context.backends.snapshot.principals.role(named.account, named.resource_name, may_wait=context.may_wait)
    if active is None or active.role.arn != arn:
        raise AccessDeniedException(assume_role_denial_message(context.caller, action, arn))
    return active


def _authorized_role(context: Context, arn: str, action: str) -> Role:
    """Return the role whose trust policy was evaluated; raises TargetChanged if another has its ARN by now."""
    role = _role(context, arn, action).role
    if role.unique_id != context.role_id:
        raise TargetChanged
    return role


def _role_arn(text: str) -> Arn:
    arn = parse_arn(text)
    if arn is None or arn.service != "iam" or not arn.resource.startswith("role/"):
        raise ValidationException(f"{text} is invalid")
    return arn


def _seconds(role: Role, asked: int | None) -> int:
    if asked is not None and asked > role.max_session_seconds:
        raise ValidationException("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    return asked or DEFAULT_SESSION_SECONDS


def _session_tags(context: Context, request: AssumeRoleRequest) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return the tags of the new session, and the keys of those that the next role's session inherits."""
    inherited, new = _inherited(context), request.tags or []
    asked = {folded(tag.key) for tag in new}
    if len(asked) != len(new):
        raise InvalidParameterValueException(DUPLICATE_KEYS)
    if asked & {folded(key) for key, _ in inherited}:
        raise InvalidParameterValueException(
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from "
            "the calling session."
        )
    transitive = request.transitive_tag_keys or []
    if not asked.issuperset(map(folded, transitive)):
        raise InvalidParameterValueException("The specified transitive tag key must be included in the requested tags.")
    return merged_tags(inherited, new), tuple(key for key, _ in inherited) + tuple(transitive)


def _source_identity(context: Context, request: AssumeRoleRequest) -> str | None:
    """Return the source identity of the new session. Once set, it stays the same for chained sessions."""
    inherited = context.credential.source_identity
    if None not in {inherited, request.source_identity} and inherited != request.source_identity:
        raise ValidationException("The source identity is already set for this assume role session")
    return inherited or request.source_identity


def _inherited(context: Context) -> tuple[tuple[str, str], ...]:
    """Return the session tags that a chained session keeps."""
    session = context.credential.session
    if session is None:
        return ()
    transitive = {folded(key) for key in session.transitive}
    return tuple(pair for pair in session.tags if folded(pair[0]) in transitive)
