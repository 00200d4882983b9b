"""The messages of refusals, in AWS's words.

Source: IAM User Guide, "Troubleshoot access denied error messages".
"""

from strongroom.iam.decision import Decision, Reason
from strongroom.iam.principals import Principal, PrincipalKind

_HIDDEN = (
    "because the resource does not exist in this Region, no resource-based policies allow access, "
    "or a resource-based policy explicitly denies access"
)


def denial_message(
    decision: Decision, principal: Principal, action: str, resource: str, *, implied: bool = False
) -> str:
    """Return the message of a refusal.

    ``implied`` is True if the caller named no resource: Decrypt finds the key through the ciphertext.
    """
    if decision.reason is Reason.HIDDEN:
        return hidden_denial_message(principal, action, implied=implied)
    subject = f"User: {principal.arn} is not authorized to perform: {action}"
    where = "on the resource associated with this ciphertext" if implied else f"on resource: {resource}"
    if decision.reason is Reason.EXPLICIT_DENY:
        return f"{subject} {where} with an explicit deny in {decision.source.value}"
    if decision.reason is Reason.TOO_MUCH_WORK:
        return f"{subject} {where} because {decision.reason.value}"
    kind = decision.source.value.partition(" ")[2]
    return f"{subject} {where} because no {kind} allows the {action} action"


def hidden_denial_message(principal: Principal, action: str, *, implied: bool = False) -> str:
    """Return the message of a refusal to another account. It does not disclose whether the resource exists.

    ``implied`` is as in ``denial_message``.
    """
    where = "on the resource associated with this ciphertext" if implied else "on this resource"
    return f"User: {principal.arn} is not authorized to perform: {action} {where} {_HIDDEN}"


def assume_role_denial_message(caller: Principal, action: str, resource: str) -> str:
    """Return the message where a role cannot be assumed.

    It discloses neither the reason nor whether the role exists.
    """
    if caller.kind is PrincipalKind.WEB_IDENTITY:
        return f"Not authorized to perform {action}"
    return f"User: {caller.arn} is not authorized to perform: {action} on resource: {resource}"
