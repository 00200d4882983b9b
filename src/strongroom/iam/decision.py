"""The authorization decision: whether the policies that apply to a request allow it, and why.

Source: IAM User Guide, "Policy evaluation logic"; KMS Developer Guide, "Troubleshooting key access". In this order:

1. An explicit deny anywhere denies.
2. A resource without a resource policy needs an identity policy that allows it; an account's root needs none.
3. A resource of the caller's own account that has a resource policy needs one of three things: that policy allows the
   caller itself; a grant; or that policy allows the account and an identity policy allows the caller. An identity
   policy alone is not enough. The root has no built-in access to such resources.
4. A resource of another account needs its resource policy or a grant, and an identity policy of the caller. Callers
   without an account (services, bearers of web identity tokens) have no identity policies and need none.
5. Permissions boundary and session policies must allow too, unless the resource policy names the caller directly in its
   own account.
"""

from collections.abc import Sequence
from enum import Enum

import msgspec

from strongroom.arns import account_in
from strongroom.iam.compiler import CompiledPolicy, Level, Match
from strongroom.iam.principals import PrincipalKind
from strongroom.iam.request import AuthorizationRequest


class Source(Enum):
    """The kind of policy that decided."""

    RESOURCE_POLICY = "a resource-based policy"
    IDENTITY_POLICY = "an identity-based policy"
    BOUNDARY = "a permissions boundary"
    SESSION_POLICY = "a session policy"
    GRANT = "a grant"
    ROOT = "the account root"


class Reason(Enum):
    """The reason why a request is allowed or refused."""

    ALLOWED = "allowed"
    EXPLICIT_DENY = "explicit deny"
    NOT_ALLOWED = "no policy of that kind allows it"
    HIDDEN = "the resource is another account's"
    TOO_MUCH_WORK = "the policies take too much work to evaluate"


class Decision(msgspec.Struct, frozen=True):
    """Whether a request is allowed, which kind of policy decided, and which of its statements or which grant."""

    allowed: bool
    reason: Reason
    source: Source
    statement: Match | None = None
    grant: str | None = None


class Policies(msgspec.Struct, frozen=True):
    """All policies that apply to a request. ``resource`` is None where the resource has no policy.

    ``grant`` is the id of a grant that matches the request. ``grant_to_account`` tells that the grantee is the caller's
    whole account, so that an identity policy must allow too. Empty ``boundary`` and ``session`` do not limit.
    """

    resource: CompiledPolicy | None = None
    identity: Sequence[CompiledPolicy] = ()
    boundary: Sequence[CompiledPolicy] = ()
    session: Sequence[CompiledPolicy] = ()
    grant: str | None = None
    grant_to_account: bool = False


def decide(request: AuthorizationRequest, policies: Policies) -> Decision:
    """Return the decision on a request. Pure: the same request and policies give the same decision.

    Raises TooMuchWork if it takes more steps than ``request.work`` has left.
    """
    if policies.resource is None:
        return explicit_denial(request, policies) or limited(request, policies, _by_identity(request, policies))
    if not _is_foreign(request):
        return explicit_denial(request, policies) or _same_account(request, policies, policies.resource)
    return _cross_account(request, policies, policies.resource)


def explicit_denial(request: AuthorizationRequest, policies: Policies) -> Decision | None:
    """Return the refusal by a statement that denies the request; None if no policy has one."""
    resource = () if policies.resource is None else (policies.resource,)
    for source, group in (
        (Source.RESOURCE_POLICY, resource),
        (Source.IDENTITY_POLICY, policies.identity),
        (Source.BOUNDARY, policies.boundary),
        (Source.SESSION_POLICY, policies.session),
    ):
        for policy in group:
            denial = policy.denial(request)
            if denial is not None:
                hidden = source is Source.RESOURCE_POLICY and _is_foreign(request)
                return Decision(
                    allowed=False,
                    reason=Reason.HIDDEN if hidden else Reason.EXPLICIT_DENY,
                    source=source,
                    statement=denial,
                )
    return None


def _same_account(request: AuthorizationRequest, policies: Policies, resource: CompiledPolicy) -> Decision:
    allowance = resource.allowance(request)
    level = Level.NONE if allowance is None else allowance.level
    if level is Level.DIRECT:
        return _by_resource(allowance)
    if level is Level.INDIRECT:
        return limited(request, policies, _by_resource(allowance))
    if policies.grant is not None and not policies.grant_to_account:
        return limited(request, policies, _by_grant(policies.grant))
    if level is Level.ACCOUNT or policies.grant is not None:
        return limited(request, policies, _by_identity(request, policies))
    return _not_allowed(Source.RESOURCE_POLICY)


def _cross_account(request: AuthorizationRequest, policies: Policies, resource: CompiledPolicy) -> Decision:
    allowance = resource.allowance(request)
    if allowance is None and policies.grant is None:
        # Checked before the caller's own policies: a denial by one of those would disclose that the resource exists.
        denial = resource.denial(request)
        return Decision(allowed=False, reason=Reason.HIDDEN, source=Source.RESOURCE_POLICY, statement=denial)
    denied = explicit_denial(request, policies)
    if denied is not None:
        return denied
    if not request.principal.account:
        return _by_resource(allowance) if allowance is not None else _by_grant(policies.grant)
    return limited(request, policies, _by_identity(request, policies))


def _by_identity(request: AuthorizationRequest, policies: Policies) -> Decision:
    if request.principal.kind is PrincipalKind.ACCOUNT_ROOT:
        return Decision(allowed=True, reason=Reason.ALLOWED, source=Source.ROOT)
    for policy in policies.identity:
        allowance = policy.allowance(request)
        if allowance is not None:
            return Decision(allowed=True, reason=Reason.ALLOWED, source=Source.IDENTITY_POLICY, statement=allowance)
    return _not_allowed(Source.IDENTITY_POLICY)


def _by_resource(allowance: Match | None) -> Decision:
    return Decision(allowed=True, reason=Reason.ALLOWED, source=Source.RESOURCE_POLICY, statement=allowance)


def _by_grant(grant: str | None) -> Decision:
    return Decision(allowed=True, reason=Reason.ALLOWED, source=Source.GRANT, grant=grant)


def limited(request: AuthorizationRequest, policies: Policies, decision: Decision) -> Decision:
    """Return the decision, or a refusal where a boundary or session policy does not allow the request as well."""
    if decision.allowed:
        for source, group in ((Source.BOUNDARY, policies.boundary), (Source.SESSION_POLICY, policies.session)):
            if group and not any(policy.allowance(request) for policy in group):
                return _not_allowed(source)
    return decision


def _not_allowed(source: Source) -> Decision:
    return Decision(allowed=False, reason=Reason.NOT_ALLOWED, source=source)


def _is_foreign(request: AuthorizationRequest) -> bool:
    return account_in(request.resource) != request.principal.account
