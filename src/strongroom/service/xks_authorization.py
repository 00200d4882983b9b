"""Authorization of calls of AWS KMS to an XKS proxy: the policy of the key decides.

The caller is a service principal of its own. What AWS KMS says of its own caller is in condition keys: claims, which
the holder of the credential makes, and no more.
"""

from collections.abc import Callable

from strongroom.audit.cloudtrail import event_time
from strongroom.iam import AuthorizationRequest, Decision, Policies, Reason, Source, TooMuchWork, decide
from strongroom.iam.principals import service
from strongroom.iam.request import ConditionValues
from strongroom.service.xks_facts import XksFacts
from strongroom.snapshot.active_key import ActiveKey
from strongroom.xks_proxy.errors import ErrorName, XksError
from strongroom.xks_proxy.paths import Call
from strongroom.xks_proxy.requests import RequestMetadata

XKS_PRINCIPAL = "xks-proxy.strongroom.amazonaws.com"
"""The name of the service principal in key policies."""

CALLER = service(XKS_PRINCIPAL)
ACTIONS = {Call.METADATA: "kms:DescribeKey", Call.ENCRYPT: "kms:Encrypt", Call.DECRYPT: "kms:Decrypt"}
"""Call → the action that the key policy has to allow. Health checks need none."""


def _claim(read: Callable[[RequestMetadata], str | None]) -> Callable[[XksFacts], str | None]:
    return lambda facts: None if facts.metadata is None else read(facts.metadata)


_KEYS: dict[str, Callable[[XksFacts], str | None]] = {
    "aws:currenttime": lambda facts: event_time(facts.now),
    "aws:epochtime": lambda facts: str(int(facts.now)),
    "aws:requestedregion": lambda facts: None if facts.key is None else facts.key.region,
    "aws:resourceaccount": lambda facts: None if facts.key is None else facts.key.account,
    "aws:securetransport": lambda facts: "true" if facts.secure else "false",
    "aws:sourceip": lambda facts: facts.source_ip or None,
    "kms:encryptionalgorithm": lambda facts: None if facts.route.call is Call.METADATA else "SYMMETRIC_DEFAULT",
    "kms:keyorigin": lambda facts: None if facts.key is None else str(facts.key.origin),
    "kms:keyspec": lambda facts: None if facts.key is None else str(facts.key.spec),
    "kms:keyusage": lambda facts: None if facts.key is None else str(facts.key.usage),
    "xks:externalkeyid": lambda facts: facts.route.external_id,
    "xks:keyarn": _claim(lambda metadata: metadata.kms_key_arn),
    "xks:operation": _claim(lambda metadata: metadata.kms_operation),
    "xks:prefix": lambda facts: facts.route.prefix,
    "xks:principalarn": _claim(lambda metadata: metadata.aws_principal_arn),
    "xks:sourcevpc": _claim(lambda metadata: metadata.aws_source_vpc),
    "xks:sourcevpce": _claim(lambda metadata: metadata.aws_source_vpce),
    "xks:viaservice": _claim(lambda metadata: metadata.kms_via_service),
}
"""Condition key, in lower case → its value for a call."""

CONDITION_KEYS = frozenset(_KEYS)


def decide_on_call(facts: XksFacts, active: ActiveKey) -> Decision:
    """Return the decision on a call other than a health check. One that would take too much work is a refusal."""

    def read(name: str) -> ConditionValues:
        value = _KEYS.get(name, _nothing)(facts)
        return None if value is None else (value,)

    question = AuthorizationRequest(
        principal=CALLER, action=ACTIONS[facts.route.call], resource=active.key.arn, context=read
    )
    try:
        return decide(question, Policies(resource=active.policy))
    except TooMuchWork:
        return Decision(allowed=False, reason=Reason.TOO_MUCH_WORK, source=Source.RESOURCE_POLICY)


def require_allowed(facts: XksFacts, active: ActiveKey) -> None:
    """Refuse a call unless the key policy allows it; raises XksError, AccessDeniedException."""
    if not decide_on_call(facts, active).allowed:
        action = ACTIONS[facts.route.call]
        raise XksError(
            ErrorName.ACCESS_DENIED, f"The policy of the key does not allow {XKS_PRINCIPAL} to perform {action}."
        )


def _nothing(_facts: XksFacts) -> None:
    return None
