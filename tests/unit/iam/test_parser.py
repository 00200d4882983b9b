"""Valid policy documents are parsed, and others are refused with AWS's messages."""

import json
import time
from typing import Any

import pytest

from policies import ALICE, ROOT, allow, document
from strongroom.iam import MalformedPolicy, PolicyKind, parse_policy

RESOURCE, IDENTITY, TRUST = PolicyKind.RESOURCE, PolicyKind.IDENTITY, PolicyKind.TRUST
SYNTAX = "Syntax errors in policy."
PRINCIPALS = "Policy contains a statement with one or more invalid principals."

ACCEPTED: dict[str, tuple[PolicyKind, Any]] = {
    "one statement, not in a list": (RESOURCE, {"Statement": allow(ROOT)}),
    "no version": (RESOURCE, {"Statement": [allow(ROOT)]}),
    "an id": (RESOURCE, {"Id": "x", "Statement": [allow(ROOT)]}),
    "a sid": (RESOURCE, {"Statement": [allow(ROOT, Sid="a b c")]}),
    "no resource in a key policy": (RESOURCE, {"Statement": [allow(ROOT, on=None)]}),
    "the bare star": (RESOURCE, {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "kms:*"}]}),
    "a role trust policy": (TRUST, {"Statement": [allow(ROOT, do="sts:AssumeRole", on=None)]}),
    "numbers and booleans in conditions": (
        IDENTITY,
        {"Statement": [allow(when={"NumericEquals": {"a:b": 5}, "Bool": {"a:c": True}, "Null": {"a:d": [False]}})]},
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_valid_document_is_accepted(name: str) -> None:
    kind, policy = ACCEPTED[name]
    assert parse_policy(json.dumps(policy), kind).statements


REFUSED: dict[str, tuple[PolicyKind, str, str]] = {
    "not JSON": (RESOURCE, "{", SYNTAX),
    "no object": (RESOURCE, "[]", SYNTAX),
    "a string": (RESOURCE, '"x"', SYNTAX),
    "no statement": (RESOURCE, "{}", SYNTAX),
    "an empty list of statements": (RESOURCE, '{"Statement": []}', SYNTAX),
    "a statement that is none": (RESOURCE, '{"Statement": ["x"]}', SYNTAX),
    "an unknown member": (RESOURCE, json.dumps({"Statement": [allow(ROOT)], "More": 1}), SYNTAX),
    "an unknown element": (RESOURCE, document(allow(ROOT, More="x")), SYNTAX),
    "a member given twice": (RESOURCE, '{"Statement": [], "Statement": []}', SYNTAX),
    "an unknown version": (
        RESOURCE,
        json.dumps({"Version": "2020-01-01", "Statement": [allow(ROOT)]}),
        "The policy must contain a valid version string.",
    ),
    "a version in a list": (
        RESOURCE,
        json.dumps({"Version": ["2012-10-17"], "Statement": [allow(ROOT)]}),
        "The policy must contain a valid version string.",
    ),
    "an effect in a list": (RESOURCE, document(allow(ROOT, Effect=["Allow"])), SYNTAX),
    "half of a surrogate pair": (IDENTITY, document(allow(Sid="\ud800")), SYNTAX),
    "a number beyond all numbers": (IDENTITY, '{"Statement": 1e999}', SYNTAX),
    "an unknown effect": (RESOURCE, document(allow(ROOT, Effect="Maybe")), SYNTAX),
    "an id that is a number": (RESOURCE, '{"Id": 5, "Statement": []}', SYNTAX),
    "a principal in an identity policy": (
        IDENTITY,
        document(allow(ROOT)),
        "Policy document should not specify a principal.",
    ),
    "no principal in a key policy": (RESOURCE, document(allow()), PRINCIPALS),
    "an empty principal": (RESOURCE, document(allow() | {"Principal": {}}), PRINCIPALS),
    "a principal of an unknown kind": (RESOURCE, document(allow() | {"Principal": {"Canonical": "x"}}), PRINCIPALS),
    "a principal that is a bare name": (RESOURCE, document(allow("alice")), PRINCIPALS),
    "a wildcard inside a principal": (RESOURCE, document(allow(ALICE[:-2] + "*")), PRINCIPALS),
    "a group": (RESOURCE, document(allow("arn:aws:iam::111122223333:group/admins")), PRINCIPALS),
    "a service of no domain": (RESOURCE, document(allow("S:backup")), PRINCIPALS),
    "both Principal and NotPrincipal": (RESOURCE, document(allow(ROOT, NotPrincipal={"AWS": ROOT})), SYNTAX),
    "both Action and NotAction": (
        RESOURCE,
        json.dumps({"Statement": [allow(ROOT) | {"NotAction": "kms:*"}]}),
        SYNTAX,
    ),
    "no action in an identity policy": (
        IDENTITY,
        json.dumps({"Statement": [{"Effect": "Allow", "Resource": "*"}]}),
        "Policy statement must contain actions.",
    ),
    "no resource in an identity policy": (
        IDENTITY,
        document(allow(on=None)),
        "Policy statement must contain resources.",
    ),
    "a resource in a trust policy": (TRUST, document(allow(ROOT)), "Has prohibited field Resource"),
    "an action without a vendor": (
        IDENTITY,
        document(allow(do="Encrypt")),
        "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
    ),
    "an action that is a number": (IDENTITY, document(allow(do=5)), SYNTAX),
    "no actions": (IDENTITY, document(allow(do=[])), "Policy statement must contain actions."),
    "an unknown operator": (
        IDENTITY,
        document(allow(when={"StringSomehow": {"a:b": "x"}})),
        "Invalid Condition type : StringSomehow.",
    ),
    "NullIfExists": (
        IDENTITY,
        document(allow(when={"NullIfExists": {"a:b": "true"}})),
        "Invalid Condition type : NullIfExists.",
    ),
    "a condition that is a list": (IDENTITY, document(allow() | {"Condition": []}), SYNTAX),
    "a condition value that is an object": (IDENTITY, document(allow(when={"Bool": {"a:b": {}}})), SYNTAX),
    "no condition values": (IDENTITY, document(allow(when={"Bool": {"a:b": []}})), SYNTAX),
    "NaN": (IDENTITY, document(allow(when={"NumericEquals": {"a:b": float("nan")}})), SYNTAX),
    "nested far too deep": (RESOURCE, "[" * 100_000 + "]" * 100_000, SYNTAX),
    "nested too deep": (RESOURCE, '{"Statement": ' + "[" * 20 + "]" * 20 + "}", SYNTAX),
    "a huge number": (IDENTITY, '{"Statement": ' + "9" * 10_000 + "}", SYNTAX),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_invalid_document_is_refused(name: str) -> None:
    kind, text, message = REFUSED[name]
    with pytest.raises(MalformedPolicy) as caught:
        parse_policy(text, kind)
    assert str(caught.value) == message


def test_hostile_patterns_are_decided_in_bounded_time() -> None:
    from policies import KEY, compiled, root  # noqa: PLC0415 - only here
    from strongroom.iam import AuthorizationRequest  # noqa: PLC0415

    pattern = "kms:" + "*a" * 5000
    policy = compiled(RESOURCE, allow(ROOT, do=pattern), allow(ROOT, on="*?" * 5000))
    started = time.process_time()
    assert policy.allowance(AuthorizationRequest(root, "kms:" + "a" * 100, KEY)) is None
    assert time.process_time() - started < 1
