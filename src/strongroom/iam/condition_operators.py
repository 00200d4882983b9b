"""Condition operators: how one value of the request is compared with one value of the policy.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators". This module has the positive operators. A
negated one holds where its positive form matches none of the policy's values (NOR).
"""

import base64
import binascii
import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from strongroom.arns import arn_fields
from strongroom.iam.wildcards import glob, plain

Compare = Callable[[str, str], bool]
"""Compares ``(value of the request, value of the policy)``. A value of the wrong format does not match."""


def string_like(have: str, want: str) -> bool:
    """Match with wildcards, case-sensitively."""
    return glob(want, have)


def _arn_like(have: str, want: str) -> bool:
    """Match ARNs field by field. A wildcard matches colons only in the last field."""
    mine, theirs = arn_fields(have), arn_fields(want)
    return mine is not None and theirs is not None and all(map(glob, theirs, mine))


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _epoch_seconds(text: str) -> Decimal | None:
    """Return a date as epoch seconds. It is in ISO 8601, UTC where it has no offset, or already epoch seconds."""
    number = _number(text)
    if number is not None:
        return number
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return Decimal((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _ordered(read: Callable[[str], Decimal | None], compare: Callable[[Decimal, Decimal], bool]) -> Compare:
    def matches(have: str, want: str) -> bool:
        mine, theirs = read(have), read(plain(want))
        return mine is not None and theirs is not None and compare(mine, theirs)

    return matches


def _ip_address(have: str, want: str) -> bool:
    try:
        return ipaddress.ip_address(have) in ipaddress.ip_network(plain(want), strict=False)
    except ValueError:
        return False


def _binary(have: str, want: str) -> bool:
    try:
        return base64.b64decode(have, validate=True) == base64.b64decode(plain(want), validate=True)
    except (binascii.Error, ValueError):
        return False


_POSITIVE: dict[str, Compare] = {
    "StringEquals": lambda have, want: have == plain(want),
    "StringEqualsIgnoreCase": lambda have, want: have.casefold() == plain(want).casefold(),
    "StringLike": string_like,
    "Bool": lambda have, want: have.lower() == plain(want).lower(),
    "BinaryEquals": _binary,
    "IpAddress": _ip_address,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
} | {
    f"{kind}{name}": _ordered(read, compare)
    for kind, read in (("Numeric", _number), ("Date", _epoch_seconds))
    for name, compare in (
        ("Equals", Decimal.__eq__),
        ("LessThan", Decimal.__lt__),
        ("LessThanEquals", Decimal.__le__),
        ("GreaterThan", Decimal.__gt__),
        ("GreaterThanEquals", Decimal.__ge__),
    )
}

_NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}

NULL = "Null"
"""The operator that tests whether the request has the key."""

NAMES = {name.lower(): name for name in (*_POSITIVE, *_NEGATED, NULL)}
"""The operator's name by its lower-case form: operators are not case-sensitive."""


def comparison(name: str) -> tuple[Compare, bool]:
    """Return the positive comparison of an operator other than ``Null``, and whether the operator negates it."""
    positive = _NEGATED.get(name)
    return (_POSITIVE[name], False) if positive is None else (_POSITIVE[positive], True)
