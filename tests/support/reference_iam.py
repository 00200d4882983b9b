"""A reference policy evaluator, written from the specification alone. It is slow, and works on the JSON as written.

Source: IAM User Guide, "Policy evaluation logic", "IAM JSON policy elements", "Policy variables with no value". It
shares no code with ``strongroom.iam`` and supports only what the generated policies use. What AWS leaves open is as
``docs/divergences.md`` says: in no Allow, and in every Deny.
"""

import re
from typing import Any, NamedTuple

Json = dict[str, Any]


STAR, QUESTION = "\ue000", "\ue001"
"""A star and a question mark of a variable's value, which are no wildcards."""


class Unclear(Exception):
    """It is not certain what a condition means."""


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
    patterns = [_filled(each, question) for each in statement["NotResource" if negated else "Resource"]]
    if negated and statement["Effect"] == "Allow" and None in patterns and "*" not in patterns:
        return False
    return any(_wild(each, question.resource) for each in patterns if each is not None) is not negated


def _wild(pattern: str, text: str) -> bool:
    special = {"*": ".*", "?": ".", STAR: r"\*", QUESTION: r"\?"}
    parts = (special.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def _values(question: AccessRequest, key: str) -> list[str]:
    if key in question.caller.keys:
        return [question.caller.keys[key]]
    return question.context.get(key, [])


def _filled(pattern: str, question: AccessRequest) -> str | None:
    """Return a pattern with the values of its variables, None if one has no value; raises Unclear for several."""
    done = ""
    while "${" in pattern:
        before, _, rest = pattern.partition("${")
        variable, _, pattern = rest.partition("}")
        key, _, default = variable.partition(", ")
        values = _values(question, key.lower())
        if len(values) > 1:
            raise Unclear
        if not values and not default:
            return None
        value = values[0] if values else default.strip("'")
        done += before + value.replace("*", STAR).replace("?", QUESTION)
    return done + pattern


def _conditions(statement: Json, question: AccessRequest) -> bool:
    return all(
        _certain(operator, values, question, key.lower(), statement["Effect"])
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


def _certain(operator: str, wanted: list[str], question: AccessRequest, key: str, effect: str) -> bool:
    try:
        return _condition(operator, wanted, question, key)
    except Unclear:
        return effect == "Deny"


def _condition(operator: str, written: list[str], question: AccessRequest, key: str) -> bool:
    have = _values(question, key)
    if operator == "Null":
        return (not have) == (written[0] == "true")
    qualifier, _, name = operator.rpartition(":")
    optional = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    if not have and qualifier == "ForAnyValue":
        if optional:
            raise Unclear
        return False
    if not have:
        return optional or qualifier == "ForAllValues" or (qualifier == "" and "Not" in name)
    filled = [_filled(each, question) for each in written]
    wanted = [each for each in filled if each is not None]
    each = [_one(name, value, wanted) for value in have]
    if qualifier == "ForAllValues":
        return all(each)
    if qualifier == "ForAnyValue":
        return any(each)
    # A single-valued key with several values: a positive operator needs one match, a negated one none.
    return all(each) if "Not" in name else any(each)


def _one(name: str, value: str, wanted: list[str]) -> bool:
    texts = [each.replace(STAR, "*").replace(QUESTION, "?") for each in wanted]
    match name:
        case "StringEquals":
            return value in texts
        case "StringNotEquals":
            return value not in texts
        case "StringLike":
            return any(_wild(each, value) for each in wanted)
        case "StringNotLike":
            return not any(_wild(each, value) for each in wanted)
        case _:
            raise LookupError(name)
