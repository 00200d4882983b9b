"""Parses policy documents strictly, in bounded time.

Source: IAM User Guide, "Grammar of the IAM JSON policy language". Everything outside the grammar is refused: to ignore
an element could make a policy allow more than its author wrote. A document that is stored was accepted by the rules of
its time; a new one must also meet those of ``document_rules``.
"""

import json
import re
from typing import cast

from strongroom.iam.condition_operators import NAMES
from strongroom.iam.document import (
    DEFAULT_VERSION,
    VARIABLES_VERSION,
    Condition,
    Effect,
    MalformedPolicy,
    NamedPrincipal,
    Operator,
    PatternElement,
    PolicyDocument,
    PolicyKind,
    PrincipalElement,
    PrincipalType,
    Qualifier,
    Statement,
)

Json = dict[str, object]

SYNTAX = "Syntax errors in policy."
LEGACY = "The policy failed legacy parsing"
NO_ACTIONS = "Policy statement must contain actions."
NO_RESOURCES = "Policy statement must contain resources."
PRINCIPALS = "Policy contains a statement with one or more invalid principals."
SHOWN = 256
"""The most characters of a value that a message repeats."""
_MAX_DEPTH = 12
_DOCUMENT = frozenset({"Version", "Id", "Statement"})
_STATEMENT = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)
_ACTION = re.compile(r"\*|[A-Za-z0-9-]+:[A-Za-z0-9*?-]+")
_VENDOR = re.compile(r"[A-Za-z0-9-]+")
_ACCOUNT = re.compile(r"[0-9]{12}")
_AWS_ARN = re.compile(r"arn:[a-z-]+:(?:iam|sts)::[0-9]{12}:(?:root|(?:user|role|assumed-role|federated-user)/[^*?]+)")
_UNIQUE_ID = re.compile(r"A(?:IDA|ROA)[A-Z0-9]{12,}")
_SERVICE = re.compile(r"[a-z0-9.-]+\.amazonaws\.com(?:\.cn)?")


def parse_policy(text: str, kind: PolicyKind) -> PolicyDocument:
    """Return the document in ``text``; raises MalformedPolicy with AWS's wording."""
    document = _object(_load(text), _DOCUMENT)
    version = document.get("Version", DEFAULT_VERSION)
    if version not in (DEFAULT_VERSION, VARIABLES_VERSION):
        raise MalformedPolicy("The policy must contain a valid version string.")
    statements = document.get("Statement")
    listed = statements if isinstance(statements, list) else [statements]
    if not listed:
        raise MalformedPolicy(SYNTAX)
    return PolicyDocument(
        kind=kind,
        version=str(version),
        id=_optional_string(document, "Id"),
        statements=tuple(_statement(_object(each, _STATEMENT), kind) for each in listed),
    )


def _load(text: str) -> object:
    try:
        loaded = _require_depth(json.loads(text, object_pairs_hook=_no_duplicates), 0)
        # JSON has no NaN and no infinity (1e999), and half of a surrogate pair cannot be encoded.
        json.dumps(loaded, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise MalformedPolicy(SYNTAX) from None
    return loaded


def _no_duplicates(pairs: list[tuple[str, object]]) -> Json:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError(SYNTAX)
    return members


def _require_depth(value: object, depth: int) -> object:
    if depth > _MAX_DEPTH:
        raise ValueError(SYNTAX)
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for member in members:
        if isinstance(member, dict | list):
            _require_depth(member, depth + 1)
    return value


def _object(value: object, allowed: frozenset[str] | None = None) -> Json:
    if not isinstance(value, dict) or (allowed is not None and not value.keys() <= allowed):
        raise MalformedPolicy(SYNTAX)
    return cast("Json", value)


def _statement(statement: Json, kind: PolicyKind) -> Statement:
    effect = statement.get("Effect")
    if effect not in (Effect.ALLOW, Effect.DENY):
        folded = isinstance(effect, str) and effect.lower() in ("allow", "deny")
        raise MalformedPolicy(LEGACY if folded else SYNTAX)
    return Statement(
        effect=Effect(str(effect)),
        sid=_optional_string(statement, "Sid"),
        principal=_principal_element(statement, kind),
        action=_required(_pattern_element(statement, "Action"), kind, NO_ACTIONS),
        resource=_required(_resource_element(statement, kind), kind, NO_RESOURCES, trust=True),
        conditions=_conditions(statement.get("Condition", {})),
    )


def _required(
    element: PatternElement | None, kind: PolicyKind, refusal: str, *, trust: bool = False
) -> PatternElement | None:
    """Refuse an identity policy without an element. A key policy can lack it: the statement has no effect then."""
    optional = kind is PolicyKind.RESOURCE or (trust and kind is PolicyKind.TRUST)
    if element is None and not optional:
        raise MalformedPolicy(refusal)
    return element


def _optional_string(members: Json, name: str) -> str | None:
    value = members.get(name)
    if value is not None and not isinstance(value, str):
        raise MalformedPolicy(SYNTAX)
    return value


def _strings(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    if not listed or set(map(type, listed)) != {str}:
        raise MalformedPolicy(SYNTAX)
    return tuple(listed)


def _either(statement: Json, name: str) -> tuple[object, bool] | None:
    """Return the value of an element or of its ``Not`` form, which exclude each other."""
    negated = f"Not{name}"
    if name in statement and negated in statement:
        raise MalformedPolicy(SYNTAX)
    if name in statement:
        return statement[name], False
    return (statement[negated], True) if negated in statement else None


def _pattern_element(statement: Json, name: str) -> PatternElement | None:
    found = _either(statement, name)
    if found is None:
        return None
    if found[0] == []:
        raise MalformedPolicy(NO_ACTIONS)
    patterns = _strings(found[0])
    for pattern in patterns:
        if _ACTION.fullmatch(pattern) is None:
            raise MalformedPolicy(_fault_of_action(pattern))
    return PatternElement(patterns, negated=found[1])


def _fault_of_action(pattern: str) -> str:
    colons = pattern.count(":")
    if colons == 0:
        return "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
    if colons > 1:
        return "Actions/Condition can contain only one colon."
    vendor = pattern[: pattern.index(":")]
    return SYNTAX if _VENDOR.fullmatch(vendor) else f"Vendor {vendor[:SHOWN]} is not valid"


def _resource_element(statement: Json, kind: PolicyKind) -> PatternElement | None:
    found = _either(statement, "Resource")
    if found is None:
        return None
    if kind is PolicyKind.TRUST:
        raise MalformedPolicy("Has prohibited field Resource")
    if found[0] == []:
        raise MalformedPolicy(NO_RESOURCES)
    return PatternElement(_strings(found[0]), negated=found[1])


def _principal_element(statement: Json, kind: PolicyKind) -> PrincipalElement | None:
    found = _either(statement, "Principal")
    if kind is PolicyKind.IDENTITY:
        if found is not None:
            raise MalformedPolicy("Policy document should not specify a principal.")
        return None
    if found is None:
        raise MalformedPolicy(PRINCIPALS)
    value, negated = found
    return PrincipalElement(_principals(value), negated=negated)


def _principals(value: object) -> tuple[NamedPrincipal, ...]:
    if value == "*":
        return (NamedPrincipal(PrincipalType.AWS, "*"),)
    if not isinstance(value, dict) or not value or not value.keys() <= set(PrincipalType):
        raise MalformedPolicy(PRINCIPALS)
    return tuple(
        _principal(PrincipalType(str(kind)), name) for kind, names in value.items() for name in _strings(names)
    )


def _principal(kind: PrincipalType, name: str) -> NamedPrincipal:
    if not _is_principal(kind, name):
        raise MalformedPolicy(PRINCIPALS)
    return NamedPrincipal(kind, name)


def _is_principal(kind: PrincipalType, name: str) -> bool:
    match kind:
        case PrincipalType.AWS:
            return name == "*" or any(form.fullmatch(name) for form in (_AWS_ARN, _ACCOUNT, _UNIQUE_ID))
        case PrincipalType.SERVICE:
            return _SERVICE.fullmatch(name) is not None
        case PrincipalType.FEDERATED:
            return bool(name) and "*" not in name


def _conditions(value: object) -> tuple[Condition, ...]:
    return tuple(
        Condition(_operator(operator), key, _condition_values(values))
        for operator, keys in _object(value).items()
        for key, values in _object(keys).items()
    )


def _operator(text: str) -> Operator:
    base, qualifier = text, Qualifier.NONE
    for each in (Qualifier.ALL, Qualifier.ANY):
        if text.lower().startswith(each.lower()):
            base, qualifier = text[len(each) :], each
    if_exists = base.lower().endswith("ifexists")
    name = NAMES.get(base.lower().removesuffix("ifexists"))
    if name is None or (name == "Null" and (if_exists or qualifier is not Qualifier.NONE)):
        raise MalformedPolicy(f"Invalid Condition type : {text[:SHOWN]}.")
    return Operator(name, qualifier, if_exists)


def _condition_values(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise MalformedPolicy(SYNTAX)
    return tuple(_condition_value(each) for each in listed)


def _condition_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise MalformedPolicy(SYNTAX)
    return str(value)
