"""Authorization: decides whether a caller may perform an action on each target of a call."""

from collections.abc import Iterator, Sequence

import msgspec

from strongroom.arns import account_in
from strongroom.errors import AccessDeniedException
from strongroom.iam import (
    AuthorizationRequest,
    CompiledPolicy,
    Decision,
    Policies,
    Principal,
    Reason,
    Source,
    TooMuchWork,
    assume_role_denial_message,
    decide,
    denial_message,
    explicit_denial,
    limited,
)
from strongroom.keys.encryption_context import require_size
from strongroom.keys.grants import DelegationSearch, Grant, GrantOperation, Search, UseSearch, labels_wanted, pairs
from strongroom.operations import grant_tokens
from strongroom.operations.condition_keys import DecisionContext
from strongroom.operations.context import Context
from strongroom.operations.shapes import Request
from strongroom.operations.targets import Target

_MAX_SETTLED = 32
_GRANTABLE = {f"kms:{operation}": operation for operation in GrantOperation}


def authorize(context: Context, targets: Sequence[Target], request: Request) -> None:
    """Refuse the call unless policies or grants allow it on every one of its targets.

    Raises AccessDeniedException with AWS's reason, InvalidGrantTokenException for tokens that were not issued here, and
    ValidationException for an encryption context that would take long to decide on.
    """
    for target in targets:
        context_of_target = request.encryption_context_for(target.action)
        if context_of_target is not None:
            require_size(context_of_target)
    for token in request.presented_grant_tokens():
        grant_tokens.check(context.backends.secrets, token)
    for target in targets:
        if not _is_settled(context, target):
            decision = decide_on(DecisionContext(context, request, target, targets))
            if not decision.allowed:
                raise _denial(context, target, decision)
            _settle(context, target, decision)


def _is_settled(context: Context, target: Target) -> bool:
    """Tell whether an earlier decision allowed this, and one that depended on nothing that can differ now."""
    if target.key is None or target.key.settled is None:
        return False
    credential = context.credential
    known = target.key.settled.get((credential.access_key_id, target.action))
    return known == credential.serial and target.policy is target.key.policy


def _settle(context: Context, target: Target, decision: Decision) -> None:
    """Cache an allowing decision on the key, if it depends only on the caller and on policies.

    The entry goes with the key, which is read again when its policy changes. The serial number of the credential
    changes when the caller's policies do.
    """
    credential, action, policies = context.credential, target.action, context.credential.policies
    if target.key is None or target.key.key.account != credential.principal.account:
        return
    if target.retired is not None or decision.grant is not None:
        return
    say = (target.policy, *policies.identity, *policies.boundary, *policies.session)
    if target.policy is not target.key.policy or any(policy is None or policy.varies(action) for policy in say):
        return
    settled = target.key.settled
    if settled is None or len(settled) >= _MAX_SETTLED:
        settled = target.key.settled = {}
    settled[credential.access_key_id, action] = credential.serial


def would_allow(context: Context, target: Target, request: Request) -> bool:
    """Tell whether the caller is allowed the target's action."""
    return decide_on(DecisionContext(context, request, target, (target,))).allowed


def decide_on(context: DecisionContext) -> Decision:
    """Return the decision on one target. One that would take too much work is a refusal."""
    try:
        return _decide(context)
    except TooMuchWork:
        # A caller of another account must not learn that the key exists.
        key = context.target.key
        foreign = key is not None and key.key.account != context.call.caller.account
        reason = Reason.HIDDEN if foreign else Reason.TOO_MUCH_WORK
        return Decision(allowed=False, reason=reason, source=Source.RESOURCE_POLICY)


def _decide(context: DecisionContext) -> Decision:
    target, caller = context.target, context.call.caller
    question = AuthorizationRequest(
        principal=caller, action=target.action, resource=target.resource, context=context.read
    )
    policies = context.call.credential.policies
    if target.retired is not None:
        return _on_retirement(question, policies, target.policy, target.retired)
    if target.key is not None and target.key.key.account != caller.account and not context.call.cross_account:
        return Decision(allowed=False, reason=Reason.HIDDEN, source=Source.RESOURCE_POLICY)
    if target.policy is None:
        return decide(question, policies)
    held = Policies(
        resource=target.policy, identity=policies.identity, boundary=policies.boundary, session=policies.session
    )
    decision = decide(question, held)
    if decision.allowed or decision.reason is Reason.EXPLICIT_DENY or target.key is None:
        return decision
    grant = _usable_grant(context)
    if grant is None:
        return decision
    by_account = caller.account == grant.grantee.name and caller.account not in caller.own_names
    return decide(question, msgspec.structs.replace(held, grant=grant.grant_id, grant_to_account=by_account))


def names_of(principal: Principal) -> Iterator[str]:
    """Yield the names by which a grant can name a principal, the most specific first."""
    yield from principal.own_names
    yield from principal.issuer_names
    if principal.account and principal.account not in principal.own_names:
        yield principal.account


def _usable_grant(context: DecisionContext) -> Grant | None:
    """Return a grant on the target's key that allows this call; None if there is none."""
    operation = _GRANTABLE.get(context.target.action)
    if operation is None or context.target.key is None:
        return None
    have, source_arn = pairs(context.encryption_context()), context.call.origin.source_arn
    search: Search = UseSearch(operation, have, source_arn)
    if operation is GrantOperation.CREATE_GRANT:
        asked, constraints = context.parameters.grant, context.grant_constraints()
        operations = frozenset(GrantOperation(each) for each in (() if asked is None else asked.operations))
        search = DelegationSearch(operations, constraints, source_arn)
    return context.call.backends.snapshot.grants.find(
        context.target.key.key.locator,
        names_of(context.call.caller),
        labels_wanted(operation, have),
        search,
        may_wait=context.call.may_wait,
    )


def _on_retirement(
    question: AuthorizationRequest, policies: Policies, key_policy: CompiledPolicy | None, grant: Grant
) -> Decision:
    """Return the decision on RetireGrant.

    The principals that the grant names for it may retire the grant, and its account with an identity policy. A key
    policy can only deny.

    Source: KMS Developer Guide, "Retiring and revoking grants".
    """
    denial = explicit_denial(question, msgspec.structs.replace(policies, resource=key_policy))
    if denial is not None:
        return denial
    caller = question.principal
    names = {*caller.own_names, *caller.issuer_names}
    named = grant.retiring is not None and grant.retiring.name in names
    if named or (GrantOperation.RETIRE_GRANT in grant.operations and grant.grantee.name in names):
        allowed = Decision(allowed=True, reason=Reason.ALLOWED, source=Source.GRANT, grant=grant.grant_id)
        return limited(question, policies, allowed)
    # Other callers need an identity policy, in the account that made the grant or that of its retiring principal.
    accounts = {grant.issuing_account}
    if grant.retiring is not None:
        accounts.add(account_in(grant.retiring.shown) or grant.retiring.shown)
    if caller.account in accounts:
        return decide(question, policies)
    reason = Reason.NOT_ALLOWED if caller.account == grant.account else Reason.HIDDEN
    return Decision(allowed=False, reason=reason, source=Source.RESOURCE_POLICY)


def _denial(context: Context, target: Target, decision: Decision) -> AccessDeniedException:
    message = denial_message(decision, context.caller, target.action, target.resource, implied=target.implied)
    if target.action.startswith("sts:") and target.named and decision.reason is not Reason.EXPLICIT_DENY:
        # AWS does not say why a role cannot be assumed, nor whether it exists.
        message = assume_role_denial_message(context.caller, target.action, target.resource)
    refusal = AccessDeniedException(message)
    refusal.details = {"decision": explanation(target, decision)}
    return refusal


def explanation(target: Target, decision: Decision) -> dict[str, object]:
    """Return why a decision was made, for audit records and for people."""
    found: dict[str, object] = {
        "action": target.action,
        "resource": target.resource,
        "allowed": decision.allowed,
        "reason": decision.reason.value,
        "decidedBy": decision.source.value,
    }
    if decision.statement is not None:
        found["policy"] = decision.statement.policy
        found["statement"] = decision.statement.sid or f"statement {decision.statement.index + 1}"
    if decision.grant is not None:
        found["grantId"] = decision.grant
    if not decision.allowed and decision.reason is Reason.NOT_ALLOWED and decision.source is Source.RESOURCE_POLICY:
        found["missing"] = "the key policy neither allows the caller nor delegates to its account, and no grant matches"
    return found
