"""A reference policy evaluator, written from the specification alone. It is slow, and works on the JSON as written.

Source: IAM User Guide, "Policy evaluation logic", "IAM JSON policy elements". It shares no code with ``strongroom.iam``
and supports only what the generated policies use.
"""

import fnmatch
import re
from typing import Any, NamedTuple

Json = dict[str, Any]


class Caller(NamedTuple):
    """A caller: its ARN, its role if it is a session, its account, and its condition keys."""

    arn: str
    role: str | None
    account: str
    keys: dict[str, str]

    @property
    def root(self) -> bool:
        return self.arn == f"arn:aws:iam::{self.account}:root"


class AccessRequest(NamedTuple):
    """One request to be authorized."""

    caller: Caller
    action: str
    resource: str
    context: dict[str, list[str]]


class ApplicablePolicies(NamedTuple):
    """The policies that apply to a request, as lists of statements, and whether a grant allows it."""

    key: list[Json]
    identity: list[Json]
    boundary: list[Json] | None
    session: list[Json] | None
    grant: bool


def permits(question: AccessRequest, held: ApplicablePolicies) -> bool:
    """Decide step by step, in the order of the specification."""
    identity_side = [held.identity, held.boundary or [], held.session or []]
    if any(_applies(each, question) and each["Effect"] == "Deny" for group in identity_side for each in group):
        return False
    if any(
        _applies(each, question) and _named(each, question.caller) and each["Effect"] == "Deny" for each in held.key
    ):
        return False
    ways = {
        _named(each, question.caller) for each in held.key if each["Effect"] == "Allow" and _applies(each, question)
    }
    by_identity = question.caller.root or _some_allow(held.identity, question)
    filtered = all(
        group is None or not group or _some_allow(group, question) for group in (held.boundary, held.session)
    )
    if question.resource.split(":")[4] != question.caller.account:
        return bool(ways - {""} or held.grant) and by_identity and filtered
    if "itself" in ways:
        return True
    return filtered and ("indirectly" in ways or held.grant or ("account" in ways and by_identity))


def _some_allow(statements: list[Json], question: AccessRequest) -> bool:
    return any(each["Effect"] == "Allow" and _applies(each, question) for each in statements)


def _named(statement: Json, caller: Caller) -> str:
    """Return how a statement of a key policy names the caller: itself, indirectly, account; empty if it does not."""
    root = f"arn:aws:iam::{caller.account}:root"
    negated = "NotPrincipal" in statement
    # An account's id and its root's ARN are two ways to write the same principal.
    listed = [
        root if name == caller.account else name
        for name in statement["NotPrincipal" if negated else "Principal"]["AWS"]
    ]
    if negated:
        names = [[caller.arn], [caller.role] if caller.role else [], [root]]
        hits = [any(name in listed for name in level) for level in names if level]
        spared = all(hits) if statement["Effect"] == "Deny" else any(hits)
        return "" if spared else "indirectly"
    if caller.arn in listed:
        return "itself"
    if caller.role in listed or "*" in listed:
        return "indirectly"
    return "account" if root in listed else ""


def _applies(statement: Json, question: AccessRequest) -> bool:
    return _action(statement, question) and _resource(statement, question) and _conditions(statement, question)


def _action(statement: Json, question: AccessRequest) -> bool:
    negated = "NotAction" in statement
    patterns = statement["NotAction" if negated else "Action"]
    found = any(_wild(pattern.lower(), question.action.lower()) for pattern in patterns)
    return found is not negated


def _resource(statement: Json, question: AccessRequest) -> bool:
    negated = "NotResource" in statement
    patterns = statement["NotResource" if negated else "Resource"]
    return any(_wild(pattern, question.resource) for pattern in patterns) is not negated


def _wild(pattern: str, text: str) -> bool:
    # fnmatch also knows [sets]; the specification does not.
    return re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), text) is not None


def _conditions(statement: Json, question: AccessRequest) -> bool:
    return all(
        _condition(operator, values, question, key.lower())
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


def _condition(operator: str, wanted: list[str], question: AccessRequest, key: str) -> bool:
    have = [question.caller.keys[key]] if key in question.caller.keys else question.context.get(key, [])
    if operator == "Null":
        return (not have) == (wanted[0] == "true")
    qualifier, _, name = operator.rpartition(":")
    optional = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    if not have:
        return optional or qualifier == "ForAllValues" or (qualifier == "" and "Not" in name)
    each = [_one(name, value, wanted) for value in have]
    if qualifier == "ForAllValues":
        return all(each)
    if qualifier == "ForAnyValue":
        return any(each)
    # A single-valued key with several values: a positive operator needs one match, a negated one none.
    return all(each) if "Not" in name else any(each)


def _one(name: str, value: str, wanted: list[str]) -> bool:
    match name:
        case "StringEquals":
            return value in wanted
        case "StringNotEquals":
            return value not in wanted
        case "StringLike":
            return any(_wild(each, value) for each in wanted)
        case "StringNotLike":
            return not any(_wild(each, value) for each in wanted)
        case _:
            raise LookupError(name)
