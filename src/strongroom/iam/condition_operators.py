"""Condition operators: the values of a policy compiled into a test of one value of the request.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators". This module has the positive operators. A
negated one holds where its positive form matches none of the policy's values (NOR). The values of a policy are read
once, when it is compiled. Most tests take the same time for one value and for thousands; those with wildcards count
their steps.
"""

from bisect import bisect_right
from collections.abc import Callable, Hashable, Sequence
from decimal import Decimal

from strongroom.arns import FIELDS, arn_fields
from strongroom.iam.condition_values import Network, address, binary, epoch_seconds, network, number
from strongroom.iam.wildcards import Pattern, PatternSet, Pieces, fields, is_wild, matches, pattern, plain
from strongroom.iam.work import Work

Test = Callable[[str, Work], bool]
"""Tells whether a value of the request matches one of the policy's; raises TooMuchWork."""

Compile = Callable[[Sequence[Pieces]], Test]
"""Makes the test of a policy's values. A value of the wrong format matches nothing."""

_NUMBER_STEPS, _DATE_STEPS, _ADDRESS_STEPS = 1, 6, 7
"""What it costs to read a value of the request, beside the step that each value costs."""


def _one_of(read: Callable[[str], Hashable | None], steps: int = 0) -> Compile:
    """Return the operator that holds where two values read as the same; ``steps`` is what it costs to read one."""

    def compiled(values: Sequence[Pieces]) -> Test:
        wanted = {read(plain(value)) for value in values} - {None}

        def test(have: str, work: Work) -> bool:
            work.spend(steps)
            return read(have) in wanted

        return test

    return compiled


def _ordered(
    read: Callable[[str], Decimal | None],
    compare: Callable[[Decimal, Decimal], bool],
    widest: Callable[[Sequence[Decimal]], Decimal],
    steps: int,
) -> Compile:
    """Return an operator of order. One of the policy's values, the ``widest``, is matched by all that match any."""

    def compiled(values: Sequence[Pieces]) -> Test:
        wanted = [found for value in values if (found := read(plain(value))) is not None]
        bound = widest(wanted) if wanted else None

        def test(have: str, work: Work) -> bool:
            work.spend(steps)
            found = read(have)
            return bound is not None and found is not None and compare(found, bound)

        return test

    return compiled


def _string_like(values: Sequence[Pieces]) -> Test:
    return PatternSet(values).match


def _arn_like(values: Sequence[Pieces]) -> Test:
    """Match ARNs field by field. A wildcard matches colons only in the last field."""
    exact: set[str] = set()
    others: list[tuple[Pattern, ...]] = []
    for value in values:
        split = fields(value, ":", FIELDS)
        if split is not None:
            if is_wild(value):
                others.append(tuple(map(pattern, split)))
            else:
                exact.add(plain(value))

    def test(have: str, work: Work) -> bool:
        if have in exact:
            return True
        mine = arn_fields(have)
        return mine is not None and any(
            all(matches(wanted, field, work) for wanted, field in zip(each, mine, strict=True)) for each in others
        )

    return test


def _ip_address(values: Sequence[Pieces]) -> Test:
    networks = _merged([found for value in values if (found := network(plain(value))) is not None])
    starts = [(version, first) for version, first, _ in networks]

    def test(have: str, work: Work) -> bool:
        work.spend(_ADDRESS_STEPS)
        found = address(have)
        if found is None:
            return False
        at = bisect_right(starts, found) - 1
        return at >= 0 and networks[at][0] == found[0] and found[1] <= networks[at][2]

    return test


def _merged(networks: list[Network]) -> list[Network]:
    """Return networks in order, those that contain one another as one. Networks never overlap otherwise."""
    merged: list[Network] = []
    for each in sorted(networks, key=lambda one: (one[0], one[1], -one[2])):
        if not merged or merged[-1][0] != each[0] or merged[-1][2] < each[1]:
            merged.append(each)
    return merged


_POSITIVE: dict[str, Compile] = {
    "StringEquals": _one_of(str),
    "StringEqualsIgnoreCase": _one_of(str.casefold),
    "StringLike": _string_like,
    "Bool": _one_of(str.lower),
    "BinaryEquals": _one_of(binary),
    "IpAddress": _ip_address,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
} | {
    f"{kind}{name}": compiled
    for kind, read, steps in (("Numeric", number, _NUMBER_STEPS), ("Date", epoch_seconds, _DATE_STEPS))
    for name, compiled in (
        ("Equals", _one_of(read, steps)),
        ("LessThan", _ordered(read, Decimal.__lt__, max, steps)),
        ("LessThanEquals", _ordered(read, Decimal.__le__, max, steps)),
        ("GreaterThan", _ordered(read, Decimal.__gt__, min, steps)),
        ("GreaterThanEquals", _ordered(read, Decimal.__ge__, min, steps)),
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


def operator(name: str) -> tuple[Compile, bool]:
    """Return the positive form of an operator other than ``Null``, and whether the operator negates it."""
    positive = _NEGATED.get(name)
    return (_POSITIVE[name], False) if positive is None else (_POSITIVE[positive], True)
