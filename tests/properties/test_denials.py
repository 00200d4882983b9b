"""Laws of Deny statements: nothing that is unset, malformed, ambiguous or of several values makes one go unnoticed.

A Deny and the Deny with the opposite test together deny every request: what one of them misses, the other has. An
engine that answers "no" to both, because it cannot evaluate the test, lets through what the author denied.
"""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import (
    ALICE,
    BOB,
    HOME,
    KEY,
    PROVIDER,
    ROLE,
    ROOT,
    SERVICE,
    SESSION,
    Json,
    alice,
    backup,
    bob,
    carol,
    compiled,
    deny,
    pod,
    pod_session,
    root,
    worker,
)  # fmt: skip
from strongroom.iam import AmbiguousConditionKey, AuthorizationRequest, Policies, PolicyKind, Principal
from strongroom.iam.decision import explicit_denial

PAIRS = {
    "StringEquals": "StringNotEquals",
    "StringEqualsIgnoreCase": "StringNotEqualsIgnoreCase",
    "StringLike": "StringNotLike",
    "NumericEquals": "NumericNotEquals",
    "DateEquals": "DateNotEquals",
    "IpAddress": "NotIpAddress",
    "ArnEquals": "ArnNotEquals",
    "ArnLike": "ArnNotLike",
}
"""Positive operator → the operator that negates it."""

FIXED = ["x", "", "*", "x?", "5", "five", "2026-01-01", "203.0.113.0/24", "203.0.113.7", "::ffff:203.0.113.7", ROLE]
FIXED += ["arn:aws:iam::*:role/*", "arn:aws", "${"]
OPEN = ["${aws:PrincipalTag/team}", "${aws:PrincipalTag/none}", "arn:aws:iam::1:role/${aws:username}", "${a:list}"]
OPEN += ["${a:twice}", "${aws:PrincipalTag/none, 'x'}", "${}", "${aws:PrincipalTag/Team, 5}", "203.0.113.${a:one}"]
KEYS = ["a:one", "a:list", "a:twice", "a:none", "aws:PrincipalTag/team", "aws:PrincipalTag/TWICE", "aws:username"]
RESOURCES = ["*", KEY, KEY[:-1] + "?", KEY[:-1] + "c", "arn:aws:kms:*:*:alias/*"]
RESOURCES += [f"arn:aws:kms:us-east-1:{HOME}:key/{variable}" for variable in OPEN]
NAMES: list[Json] = [{"AWS": each} for each in (ALICE, BOB, ROOT, HOME, ROLE, SESSION, "*", "AIDANOBODYNOBODYNOBODY")]
NAMES += [{"Service": SERVICE}, {"Federated": PROVIDER}, {"AWS": [SESSION, ROLE, ROOT]}, {"AWS": [ALICE, ROOT]}]
CALLERS = [alice, bob, root, worker, carol, backup, pod, pod_session]

texts = st.sampled_from(FIXED) | st.text(max_size=3)
values = st.lists(texts | st.sampled_from(OPEN), min_size=1, max_size=3)
tags = st.dictionaries(st.sampled_from(["team", "Team", "twice", "Twice"]), texts, max_size=3)


def question(principal: Principal, one: list[str], several: list[str]) -> AuthorizationRequest:
    def context(name: str) -> list[str] | None:
        if name == "a:twice":
            raise AmbiguousConditionKey(name)
        return {"a:one": one, "a:list": several}.get(name)

    return AuthorizationRequest(principal, "kms:Encrypt", KEY, context)


@st.composite
def requests(draw: st.DrawFn) -> AuthorizationRequest:
    caller = msgspec.structs.replace(draw(st.sampled_from(CALLERS)), tags=draw(tags))
    return question(caller, draw(st.lists(texts, max_size=1)), draw(st.lists(texts, max_size=3)))


def denied(request: AuthorizationRequest, *statements: Json, kind: PolicyKind = PolicyKind.IDENTITY) -> bool:
    policy = compiled(kind, *statements)
    held = Policies(resource=policy) if kind is PolicyKind.RESOURCE else Policies(identity=[policy])
    return explicit_denial(request, held) is not None


@settings(max_examples=400)
@given(requests(), st.sampled_from(sorted(PAIRS)), st.sampled_from(KEYS), values)
def test_an_operator_and_its_negation_deny_every_request(
    request: AuthorizationRequest, operator: str, key: str, wanted: list[str]
) -> None:
    positive, negated = ({name: {key: wanted}} for name in (operator, PAIRS[operator]))
    assert denied(request, deny(when=positive), deny(when=negated))
    optional = ({f"{name}IfExists": {key: wanted}} for name in (operator, PAIRS[operator]))
    assert denied(request, *(deny(when=each) for each in optional))


@settings(max_examples=200)
@given(requests(), st.lists(st.sampled_from(RESOURCES), min_size=1, max_size=3))
def test_a_resource_and_all_others_are_every_resource(request: AuthorizationRequest, patterns: list[str]) -> None:
    assert denied(request, deny(on=patterns), deny(NotResource=patterns))


@settings(max_examples=200)
@given(requests(), st.sampled_from(NAMES))
def test_a_principal_and_all_others_are_every_principal(request: AuthorizationRequest, named: Json) -> None:
    rest: Json = {"Effect": "Deny", "Action": "kms:*", "Resource": "*"}
    statements = (rest | {"Principal": named}, rest | {"NotPrincipal": named})
    assert denied(request, *statements, kind=PolicyKind.RESOURCE)


@settings(max_examples=400)
@given(st.sampled_from(CALLERS), tags, texts, st.sampled_from(sorted(PAIRS)), values)
def test_a_longer_list_denies_all_that_a_shorter_one_does(
    caller: Principal, held: dict[str, str], value: str, operator: str, more: list[str]
) -> None:
    """The shorter list has the request's own value, so it denies wherever the operator can read that."""
    request = question(msgspec.structs.replace(caller, tags=held), [value], [value, "other"])
    wanted = [value]
    for name, key in ((operator, "a:one"), (operator, "a:list"), (f"ForAnyValue:{operator}", "a:list")):
        if denied(request, deny(when={name: {key: wanted}})):
            assert denied(request, deny(when={name: {key: [*wanted, *more]}}))
            assert denied(request, deny(when={name: {key: [*more, *wanted]}}))


@settings(max_examples=200)
@given(requests(), st.lists(st.sampled_from(RESOURCES), min_size=1), st.lists(st.sampled_from(RESOURCES)))
def test_more_resources_deny_all_that_fewer_do(
    request: AuthorizationRequest, patterns: list[str], more: list[str]
) -> None:
    if denied(request, deny(on=patterns)):
        assert denied(request, deny(on=[*patterns, *more]))
        assert denied(request, deny(on=[*more, *patterns]))


@pytest.mark.parametrize("statement", [
    deny(when={"StringEquals": {"a:one": "${aws:PrincipalTag/none}"}}),
    deny(on=KEY[:-1] + "c"),
])  # fmt: skip
def test_the_laws_are_about_statements_that_do_not_deny_everything(statement: Any) -> None:
    assert not denied(question(alice, ["x"], []), statement)
