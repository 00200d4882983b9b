"""The rules that a new policy document must meet beyond the grammar.

Source: IAM User Guide, "IAM JSON policy elements" (Version, Sid, NotPrincipal, Resource, Condition operators); AWS's
notice that key policies need an Action and a Resource in every statement (from August 2025). What these rules refuse
would be stored and never apply: a Deny on a network that is none never denies. The messages are AWS's. Documents that
were stored before a rule existed are evaluated as they are.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from strongroom.arns import FIELDS, possible_fields
from strongroom.iam import condition_values
from strongroom.iam.condition_operators import NULL
from strongroom.iam.document import (
    VARIABLES_VERSION,
    Condition,
    Effect,
    MalformedPolicy,
    PolicyDocument,
    PolicyKind,
    Statement,
)
from strongroom.iam.parser import LEGACY, NO_ACTIONS, NO_RESOURCES, PRINCIPALS, SHOWN, SYNTAX, parse_policy
from strongroom.iam.policy_variables import has_variables

_SID: Final = re.compile(r"[0-9A-Za-z]*")
_SERVICE: Final = re.compile(r"[A-Za-z0-9.-]+")
_PARTITION: Final = re.compile(r"(?:aws|aws-[a-z0-9-]+|[a-z-]*[*?][a-z*?-]*)")
_ANY: Final = "*"
_IAM_RESOURCES: Final = (
    *("user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/", "server-certificate/", "policy/"),
    *("sms-mfa/", "saml-provider/", "oidc-provider/", "report/", "access-report/"),
)


def accept_policy(text: str, kind: PolicyKind, *, managed: bool = False) -> PolicyDocument:
    """Return a new document; raises MalformedPolicy with AWS's wording.

    ``managed``: it is a managed policy, which must have the version 2012-10-17.
    """
    document = parse_policy(text, kind)
    if managed and document.version != VARIABLES_VERSION:
        raise MalformedPolicy("Policy document must be version 2012-10-17 or greater.")
    variables = document.version == VARIABLES_VERSION
    for statement in document.statements:
        _require_one_condition_each(statement.conditions)
        for condition in statement.conditions:
            _require_values(condition, variables=variables)
    _require_sids([statement.sid for statement in document.statements if statement.sid], kind)
    for statement in document.statements:
        _require_elements(statement, kind)
    return document


# --- statements


def _require_sids(sids: list[str], kind: PolicyKind) -> None:
    if kind is PolicyKind.IDENTITY and not all(map(_SID.fullmatch, sids)):
        raise MalformedPolicy(
            "Statement IDs (SID) must be alpha-numeric. "
            "Check that your input satisfies the regular expression [0-9A-Za-z]*"
        )
    if len(set(sids)) < len(sids):
        raise MalformedPolicy("Statement IDs (SID) in a single policy must be unique.")


def _require_elements(statement: Statement, kind: PolicyKind) -> None:
    principal = statement.principal
    if principal is not None and principal.negated and statement.effect is Effect.ALLOW:
        # It would let in everybody else, other accounts and anonymous callers too.
        raise MalformedPolicy(PRINCIPALS)
    if statement.action is None:
        raise MalformedPolicy(NO_ACTIONS)
    if kind is not PolicyKind.TRUST:
        if statement.resource is None:
            raise MalformedPolicy(NO_RESOURCES)
        for resource in statement.resource.patterns:
            fault = _fault_of_resource(resource)
            if fault is not None:
                raise MalformedPolicy(fault)


# --- resources


def _fault_of_resource(resource: str) -> str | None:
    """Return what is wrong with a resource; None if it is ``*`` or an ARN, which can have wildcards and variables."""
    if resource == _ANY:
        return None
    shown = resource[:SHOWN]
    fields = possible_fields(resource)
    if len(fields) == 1:
        return f'Resource {shown} must be in ARN format or "*".'
    # AWS writes an ARN that is too short with a star for each field that is missing.
    prefix, partition, service, region, account, path = (*fields, *([_ANY] * (FIELDS - len(fields))))
    if prefix != "arn" or _PARTITION.fullmatch(partition) is None:
        rest = f"{service}:{region}:{account}:{path}"[:SHOWN]
        return f'Partition "{partition[:SHOWN]}" is not valid for resource "arn:{partition[:SHOWN]}:{rest}".'
    vendor_missing = len(fields) < FIELDS - 3
    if vendor_missing or (service and _SERVICE.fullmatch(service) is None):
        return "Resource vendor must be fully qualified and cannot contain regexes."
    # A shorter ARN names nothing, unless a star at its end stands for the rest.
    if not service or (len(fields) < FIELDS and not fields[-1].endswith(_ANY)):
        return LEGACY
    return _fault_of_path(shown, service, region, account, path)


def _fault_of_path(shown: str, service: str, region: str, account: str, path: str) -> str | None:
    if service == "iam":
        if region:
            return f"IAM resource {shown} cannot contain region information."
        if account.startswith("${"):
            # A variable has a colon in its name, and the path is behind it.
            return None
        if path not in {_ANY, "root"} and not path.startswith((*_IAM_RESOURCES, _ANY, "$")):
            return f'IAM resource path must either be "*" or start with {", ".join(_IAM_RESOURCES)}.'
    if service == "s3" and region and not account:
        return f"Resource {shown} can not contain region information."
    return None


# --- values of conditions


def _network(text: str) -> object:
    # The zone of an IPv6 address (RFC 4007) is a name on one machine.
    return None if "%" in text else condition_values.network(text)


_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "Bool": condition_values.boolean,
    "Null": condition_values.boolean,
    "Numeric": condition_values.number,
    "Date": condition_values.epoch_seconds,
    "IpAddress": _network,
    "NotIpAddress": _network,
    "Binary": condition_values.binary,
}
"""What reads a value, by the beginning of the operator's name. Any text is a string, and a pattern for ARNs."""


def _require_one_condition_each(conditions: tuple[Condition, ...]) -> None:
    """Refuse an operator that a statement has twice on one key, which differ only by case.

    Both would have to hold, so a Deny would never deny where its author meant either.
    """
    if len({(condition.operator, condition.key.lower()) for condition in conditions}) < len(conditions):
        raise MalformedPolicy(SYNTAX)


def _require_values(condition: Condition, *, variables: bool) -> None:
    reads = [read for beginning, read in _READERS.items() if condition.operator.base.startswith(beginning)]
    for read in reads:
        for value in _fixed(condition, variables=variables):
            if read(value) is None:
                raise MalformedPolicy(LEGACY)


def _fixed(condition: Condition, *, variables: bool) -> Iterable[str]:
    """Yield the values that do not depend on the request."""
    open_allowed = variables and condition.operator.base != NULL
    return (value for value in condition.values if not (open_allowed and has_variables(value)))
