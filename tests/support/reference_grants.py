"""A reference evaluator of grants, written from the documentation alone. It checks one grant after the other.

Source: KMS API Reference, CreateGrant and GrantConstraints; KMS Developer Guide, "Grants in AWS KMS". It shares no code
with ``strongroom.keys.grants``.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

Json = dict[str, Any]

NAMES, VALUES = ("a", "A", "b", "other"), ("1", "2")
SOURCES = (None, "arn:aws:s3:::111122223333:bucket/one", "arn:aws:s3:::111122223333:bucket/two")


class Use(NamedTuple):
    """One call that a grant may permit: operation, encryption context and source ARN."""

    operation: str
    context: dict[str, str]
    source: str | None


def permits(grant: Json, use: Use) -> bool:
    """Return whether a grant permits a call by its grantee on its key."""
    constraints = grant.get("Constraints", {})
    if use.operation not in grant["Operations"]:
        return False
    if "SourceArn" in constraints and use.operation != "RetireGrant" and constraints["SourceArn"] != use.source:
        return False
    if use.operation in {"DescribeKey", "RetireGrant"}:
        return True
    have = {(name.lower(), value) for name, value in use.context.items()}
    for kind in ("EncryptionContextEquals", "EncryptionContextSubset"):
        if kind in constraints:
            want = {(name.lower(), value) for name, value in constraints[kind].items()}
            if want - have or (kind == "EncryptionContextEquals" and have - want):
                return False
            # A name that the context has twice, with two values, does not satisfy a constraint.
            if any(name in dict(want) for name, _ in have - want):
                return False
    return True


def uses(operations: Iterable[str]) -> Iterator[Use]:
    """Yield every call that the generated constraints can distinguish: each name absent or with any value."""
    values = itertools.product((None, *VALUES), repeat=len(NAMES))
    contexts = [{name: value for name, value in zip(NAMES, each, strict=True) if value} for each in values]
    for operation, context, source in itertools.product(operations, contexts, SOURCES):
        yield Use(operation, context, source)


def covers(grants: Iterable[Json], other: Json) -> bool:
    """Return whether a single one of the grants permits every call that ``other`` permits."""
    asked = [use for use in uses(other["Operations"]) if permits(other, use)]
    return any(all(permits(grant, use) for use in asked) for grant in grants)


def tighter(asked: Json, held: Json) -> bool:
    """Return whether constraints are equal to others or stricter, judged by Encrypt: all constraints apply to it."""
    return covers([{**held, "Operations": ["Encrypt"]}], {**asked, "Operations": ["Encrypt"]})
