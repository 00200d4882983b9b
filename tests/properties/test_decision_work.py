"""The work of decisions on hostile policies and requests, counted: function calls, and the steps of the budget.

A policy or a request can be made so that one value meets every other, or that a pattern is tried at every place. What a
decision then does is counted by the interpreter's profiler, which does not depend on the budget.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import ALICE, KEY, Json, alice, values_of
from strongroom.iam import (
    AuthorizationRequest,
    Policies,
    PolicyKind,
    TooMuchWork,
    Work,
    accept_policy,
    compile_policy,
    decide,
)
from strongroom.iam.work import DECISION_STEPS

CALLS_PER_STEP = 16
"""A step is counted before a comparison, which takes a few calls."""
CALLS_PER_CHARACTER = 15
"""To read a document costs at most this, even for one that is all braces: the decoder, the parser, the compiler."""


class Count:
    """Calls of functions, those of Python and those of C."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, _frame: object, event: str, _argument: object) -> None:
        self.calls += event in {"call", "c_call"}


@contextmanager
def counted() -> Iterator[Count]:
    count, before = Count(), sys.getprofile()
    sys.setprofile(count)
    try:
        yield count
    finally:
        sys.setprofile(before)


NETWORKS = [f"10.{number >> 8}.{number & 255}.0/24" for number in range(3600)]
VARIABLE = "${aws:PrincipalTag/team, 'nobody'}"

VALUES: dict[str, Callable[[int], list[str]]] = {
    "IpAddress": lambda count: NETWORKS[:count],
    "NotIpAddress": lambda count: NETWORKS[:count],
    "StringEquals": lambda count: [f"key-{number}" for number in range(count)],
    "StringEqualsIgnoreCase": lambda count: [f"{VARIABLE}{number}" for number in range(count)],
    "StringLike": lambda count: [f"*{'a?' * (number % 40)}*b" for number in range(count)],
    "StringLikeIfExists": lambda count: [f"{VARIABLE}{'*' * (count * 10)}", f"{VARIABLE}{'?*' * count}"],
    "StringNotLike": lambda count: ["*" + "aaaaaaa?b*" * (count // 2), "*" + "a?" * count + "b*"],
    "ArnLike": lambda count: [f"arn:*:*:*:*:{number}*" for number in range(count)],
    "ArnNotEquals": lambda count: ["arn:" + "?*" * number + ":a:b:c:d" for number in range(1, count // 8 + 2)],
    "NumericLessThan": lambda count: [f"{number}.5e3" for number in range(count)],
    "DateGreaterThanEquals": lambda count: [f"{number}-12-31T23:59:59.5Z" for number in range(count)],
    "BinaryEquals": lambda count: ["YWJj"] * count,
    "Bool": lambda count: ["true", "false"] * (count // 2 + 1),
    "Null": lambda count: ["true"] * (count + 1),
}


class Question(NamedTuple):
    """A policy, and the values of one condition key in the request."""

    document: str
    values: list[str]


@st.composite
def hostile(draw: st.DrawFn) -> Question:
    operator = draw(st.sampled_from(sorted(VALUES)))
    qualifier = "" if operator == "Null" else draw(st.sampled_from(["", "ForAnyValue:", "ForAllValues:"]))
    conditions: Json = {f"{qualifier}{operator}": {"a:k": VALUES[operator](draw(st.integers(1, 1200))) or ["1"]}}
    resources = draw(
        st.sampled_from([["*"], ["arn:aws:kms:*:*:" + "*a" * 900], [f"arn:aws:kms:*:*:key/{VARIABLE}?*"] * 200])
    )
    statement: Json = {
        "Effect": draw(st.sampled_from(["Allow", "Deny"])),
        "Principal": {"AWS": ALICE},
        "Action": draw(
            st.sampled_from([["kms:*"], ["kms:" + "*?" * 500], [f"kms:*{number}" for number in range(400)]])
        ),
        draw(st.sampled_from(["Resource", "NotResource"])): resources,
        "Condition": conditions,
    }
    statements = [statement] * draw(st.sampled_from([1, 1, 1, 8]))
    value = draw(
        st.sampled_from(
            ["10.9.8.7", "::1.2.3.4", "a" * 8000, "ab" * 50, "arn:aws:iam::1:user/a", "7", "2026-01-01", "x"]
        )
    )
    values = [value] * draw(st.integers(1, 400))
    return Question(json.dumps({"Version": "2012-10-17", "Statement": statements}), values)


@settings(max_examples=150, deadline=None)
@given(hostile())
def test_a_decision_does_no_more_than_it_counts_and_counts_no_more_than_its_budget(question: Question) -> None:
    with counted() as reading:
        policy = compile_policy(accept_policy(question.document, PolicyKind.RESOURCE))
    assert reading.calls <= CALLS_PER_CHARACTER * len(question.document) + 1000

    # The first decision also compiles what it needs of the policy. That must not change what is counted.
    counts = set()
    for compiling in (CALLS_PER_CHARACTER * len(question.document), 0):
        work = Work()
        request = AuthorizationRequest(alice, "kms:Encrypt", KEY, values_of({"a:k": question.values}), work)
        with counted() as deciding:
            try:
                decide(request, Policies(resource=policy))
            except TooMuchWork:
                assert work.left < 0
        spent = min(DECISION_STEPS - work.left, DECISION_STEPS)
        assert deciding.calls <= CALLS_PER_STEP * spent + compiling + 200
        counts.add(spent)
    assert len(counts) == 1


@pytest.mark.parametrize("operator", [name for name in VALUES if "Like" not in name and not name.startswith("Arn")])
def test_a_condition_without_wildcards_costs_the_same_for_one_value_and_for_a_thousand(operator: str) -> None:
    steps = []
    for count in (1, 1000):
        values = [value.replace(VARIABLE, "") for value in VALUES[operator](count)] or ["1"]
        statement = {"Effect": "Allow", "Principal": {"AWS": ALICE}, "Action": "kms:*", "Resource": "*"}
        condition: Any = {"Condition": {operator: {"a:k": values}}}
        document = json.dumps({"Version": "2012-10-17", "Statement": statement | condition})
        policy = compile_policy(accept_policy(document, PolicyKind.RESOURCE))
        decide(AuthorizationRequest(alice, "kms:Encrypt", KEY, values_of({"a:k": ["1"]})), Policies(resource=policy))
        work = Work()
        request = AuthorizationRequest(alice, "kms:Encrypt", KEY, values_of({"a:k": ["10.9.8.7"] * 300}), work)
        with counted() as deciding:
            decide(request, Policies(resource=policy))
        steps.append((DECISION_STEPS - work.left, deciding.calls // 100))
    assert steps[0] == steps[1]


UNCLOSED = {
    "variables without an end": "${" * 8000,
    "variables without an end, and closed ones": "${a}${" * 4000,
    "variables in variables": "${" * 4000 + "}" * 4000,
    "defaults without an end": "${a, '" * 3000,
    "stars": "*" * 16_000,
    "question marks and stars": "?*" * 8000,
}


@pytest.mark.parametrize("case", UNCLOSED)
def test_a_value_is_compiled_in_one_pass(case: str) -> None:
    """Twice the text takes at most twice the calls, and no call looks at more than the text once."""
    calls = []
    for size in (1, 2):
        text = UNCLOSED[case] * size
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": ALICE},
            "Action": "kms:*",
            "Resource": f"arn:aws:kms:a:b:{text}",
            "Condition": {"StringLike": {"a:k": text}},
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": statement})
        with counted() as reading:
            compile_policy(accept_policy(document, PolicyKind.RESOURCE))
        calls.append(reading.calls)
    assert calls[1] <= 2 * calls[0] + 100
