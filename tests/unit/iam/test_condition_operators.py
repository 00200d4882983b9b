"""Condition operators, one case a line: the policy's values, the request's values or None, whether it holds."""

from typing import Any

import pytest

from policies import ALICE, KEY, alice, allow, compiled, deny, values_of
from strongroom.iam import AuthorizationRequest, Policies, PolicyKind, decide

# fmt: off
OPERATORS: list[tuple[str, Any, str | list[str] | None, bool]] = [
    ("StringEquals", "x", "x", True),
    ("StringEquals", "x", "X", False),
    ("StringEquals", "x*", "xy", False),
    ("StringEquals", ["x", "y"], "y", True),
    ("StringEquals", "x", None, False),
    ("StringEquals", "", "", True),
    ("stringequals", "x", "x", True),
    ("StringNotEquals", "x", "y", True),
    ("StringNotEquals", "x", "x", False),
    ("StringNotEquals", ["x", "y"], "y", False),
    ("StringNotEquals", ["x", "y"], "z", True),
    ("StringNotEquals", "x", None, True),
    ("StringEqualsIgnoreCase", "x", "X", True),
    ("StringEqualsIgnoreCase", "x", "y", False),
    ("StringNotEqualsIgnoreCase", "x", "X", False),
    ("StringNotEqualsIgnoreCase", "x", "y", True),
    ("StringLike", "a*z", "abcz", True),
    ("StringLike", "a*z", "abc", False),
    ("StringLike", "a?c", "abc", True),
    ("StringLike", "a?c", "ac", False),
    ("StringLike", "*", "", True),
    ("StringLike", "*", None, False),
    ("StringLike", "**a**", "bab", True),
    ("StringLike", "A*", "abc", False),
    ("StringNotLike", "a*", "abc", False),
    ("StringNotLike", "a*", "xyz", True),
    ("StringNotLike", "a*", None, True),
    ("StringEqualsIfExists", "x", None, True),
    ("StringEqualsIfExists", "x", "y", False),
    ("StringEqualsIfExists", "x", "x", True),
    ("StringNotEqualsIfExists", "x", None, True),
    ("NumericEquals", "5", "5.0", True),
    ("NumericEquals", 5, "5", True),
    ("NumericEquals", "5", "6", False),
    ("NumericEquals", "5", "five", False),
    ("NumericEquals", "five", "five", False),
    ("NumericEquals", "NaN", "NaN", False),
    ("NumericNotEquals", "5", "6", True),
    ("NumericNotEquals", "5", "5", False),
    ("NumericLessThan", "5", "4", True),
    ("NumericLessThan", "5", "5", False),
    ("NumericLessThanEquals", "5", "5", True),
    ("NumericLessThanEquals", "5", "5.1", False),
    ("NumericGreaterThan", "10", "9", False),
    ("NumericGreaterThan", "9", "10", True),
    ("NumericGreaterThanEquals", "90", "90", True),
    ("NumericGreaterThanEquals", "90", "89", False),
    ("DateEquals", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", True),
    ("DateEquals", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", True),
    ("DateEquals", "1767225600", "2026-01-01T00:00:00Z", True),
    ("DateNotEquals", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", True),
    ("DateLessThan", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", True),
    ("DateLessThan", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", False),
    ("DateLessThanEquals", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", True),
    ("DateGreaterThan", "2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z", False),
    ("DateGreaterThanEquals", "2026-01-01", "2026-01-01T00:00:00Z", True),
    ("DateGreaterThan", "soon", "2026-01-01T00:00:00Z", False),
    ("Bool", "true", "true", True),
    ("Bool", "TRUE", "true", True),
    ("Bool", True, "true", True),
    ("Bool", "false", "true", False),
    ("Bool", "true", None, False),
    ("BoolIfExists", "true", None, True),
    ("BinaryEquals", "aGVsbG8=", "aGVsbG8=", True),
    ("BinaryEquals", "aGVsbG8=", "aGVsbA==", False),
    ("BinaryEquals", "not base64", "not base64", False),
    ("IpAddress", "203.0.113.0/24", "203.0.113.7", True),
    ("IpAddress", "203.0.113.0/24", "203.0.114.7", False),
    ("IpAddress", "203.0.113.7", "203.0.113.7", True),
    ("IpAddress", "203.0.113.7/24", "203.0.113.99", True),
    ("IpAddress", "2001:db8::/32", "2001:db8::1", True),
    ("IpAddress", "203.0.113.0/24", "2001:db8::1", False),
    ("IpAddress", "nowhere", "203.0.113.7", False),
    ("IpAddress", "203.0.113.0/24", "::ffff:203.0.113.7", True),
    ("IpAddress", "203.0.113.0/24", "::ffff:cb00:7107", True),
    ("IpAddress", "::ffff:203.0.113.0/120", "203.0.113.7", True),
    ("IpAddress", "::ffff:203.0.113.0/120", "203.0.114.7", False),
    ("NotIpAddress", "203.0.113.0/24", "::ffff:203.0.113.7", False),
    ("NotIpAddress", "203.0.113.0/24", "203.0.113.7", False),
    ("NotIpAddress", "203.0.113.0/24", "198.51.100.1", True),
    ("NotIpAddress", ["203.0.113.0/24", "198.51.100.0/24"], "198.51.100.1", False),
    ("ArnEquals", "arn:aws:iam::1:role/*", "arn:aws:iam::1:role/a", True),
    ("ArnLike", "arn:aws:iam::*:role/a", "arn:aws:iam::1:role/a", True),
    ("ArnLike", "arn:*:role/a", "arn:aws:iam::1:role/a", False),
    ("ArnLike", "arn:aws:iam::1:role/a?", "arn:aws:iam::1:role/ab", True),
    ("ArnLike", "*", "arn:aws:iam::1:role/a", False),
    ("ArnNotEquals", "arn:aws:iam::1:role/*", "arn:aws:iam::1:user/a", True),
    ("ArnNotLike", "arn:aws:iam::1:role/*", "arn:aws:iam::1:role/a", False),
    ("Null", "true", None, True),
    ("Null", "true", "x", False),
    ("Null", "false", "x", True),
    ("Null", "false", None, False),
    ("Null", True, [], True),
    ("ForAllValues:StringEquals", ["a", "b"], ["a", "b", "a"], True),
    ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
    ("ForAllValues:StringEquals", ["a"], None, True),
    ("ForAllValues:StringEquals", ["a"], [], True),
    ("ForAllValues:StringLike", ["kms:*"], ["kms:a", "kms:b"], True),
    ("ForAllValues:StringNotEquals", ["a"], ["b", "c"], True),
    ("ForAllValues:StringNotEquals", ["a"], ["b", "a"], False),
    ("ForAnyValue:StringEquals", ["a", "b"], ["c", "b"], True),
    ("ForAnyValue:StringEquals", ["a"], ["c", "d"], False),
    ("ForAnyValue:StringEquals", ["a"], None, False),
    ("ForAnyValue:StringEquals", ["a"], [], False),
    ("ForAnyValue:StringNotEquals", ["a"], ["a", "b"], True),
    ("ForAnyValue:StringNotEquals", ["a"], ["a", "a"], False),
    ("ForAnyValue:StringLike", ["x*"], ["ax", "xa"], True),
    ("ForAllValues:StringEqualsIfExists", ["a"], None, True),
    ("foranyvalue:stringlikeifexists", ["a"], ["a", "b"], True),
    ("ForAnyValue:StringEqualsIfExists", ["a"], ["b"], False),
    ("ForAnyValue:StringNotEqualsIfExists", ["a"], ["b"], True),
    ("ForAnyValue:Bool", ["true"], ["false", "true"], True),
]
# fmt: on


@pytest.mark.parametrize("row", OPERATORS, ids=lambda row: " ".join(map(str, row)))
def test_a_condition_operator(row: tuple[str, Any, str | list[str] | None, bool]) -> None:
    operator, wanted, have, holds = row
    policies = Policies(resource=compiled(PolicyKind.RESOURCE, allow(ALICE, when={operator: {"a:k": wanted}})))
    context = {} if have is None else {"a:k": have}
    request = AuthorizationRequest(alice, "kms:Encrypt", KEY, values_of(context))
    assert decide(request, policies).allowed is holds


@pytest.mark.parametrize("operator", ["ForAnyValue:StringEqualsIfExists", "foranyvalue:stringnotlikeifexists"])
@pytest.mark.parametrize("context", [{}, {"a:k": []}])
def test_if_exists_with_for_any_value_without_the_key_allows_nothing_and_denies(operator: str, context: Any) -> None:
    """AWS does not document the combination, so what is not certain must not let anybody in."""
    request = AuthorizationRequest(alice, "kms:Encrypt", KEY, values_of(context))
    when = {operator: {"a:k": "x"}}
    allowing = compiled(PolicyKind.RESOURCE, allow(ALICE, when=when))
    denying = compiled(PolicyKind.RESOURCE, allow(ALICE), deny(ALICE, when=when))
    assert not decide(request, Policies(resource=allowing)).allowed
    assert not decide(request, Policies(resource=denying)).allowed


def test_the_table_has_at_least_105_cases() -> None:
    assert len(OPERATORS) >= 105
