"""The one authorization step: whether this caller may do this, to this key, in these circumstances."""

from collections.abc import Sequence

from strongroom.errors import AccessDeniedException, InvalidGrantTokenException
from strongroom.iam import AuthorizationRequest, CompiledPolicy, Decision, Policies, decide, denial_message
from strongroom.operations.conditions import Circumstances
from strongroom.operations.context import Context
from strongroom.operations.shapes import Request
from strongroom.operations.targets import Target


def authorize(context: Context, targets: Sequence[Target], request: Request) -> None:
    """Refuse the call unless policies allow it on every one of its targets.

    Raises AccessDeniedException with AWS's reason, and InvalidGrantTokenException for grant tokens: none is issued yet.
    """
    if getattr(request, "grant_tokens", None):
        raise InvalidGrantTokenException(None)
    for target in targets:
        policy = None if target.key is None else target.key.policy
        decision = _decide(Circumstances(context, request, target, targets), policy)
        if not decision.allowed:
            raise AccessDeniedException(
                denial_message(decision, context.caller, target.action, target.resource, implied=target.implied)
            )


def would_allow(context: Context, target: Target, request: Request, policy: CompiledPolicy) -> bool:
    """Tell whether the caller could do the target's action if its key had this policy."""
    return _decide(Circumstances(context, request, target, (target,)), policy).allowed


def _decide(here: Circumstances, policy: CompiledPolicy | None) -> Decision:
    question = AuthorizationRequest(
        principal=here.context.caller, action=here.target.action, resource=here.target.resource, context=here.read
    )
    return decide(question, Policies(resource=policy))
