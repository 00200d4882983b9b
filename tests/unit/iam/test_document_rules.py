"""The rules for new documents: what AWS accepts is accepted, what it refuses is refused with its message."""

import json
from typing import Any

import pytest

from policies import ALICE, KEY, ROOT, Json, alice, allow, compiled, deny, document, others, root
from strongroom.iam import (
    AuthorizationRequest,
    MalformedPolicy,
    Policies,
    PolicyKind,
    accept_policy,
    decide,
    parse_policy,
)

RESOURCE, IDENTITY, TRUST = PolicyKind.RESOURCE, PolicyKind.IDENTITY, PolicyKind.TRUST
LEGACY = "The policy failed legacy parsing"
SID = "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"
UNIQUE = "Statement IDs (SID) in a single policy must be unique."
VENDOR = "Resource vendor must be fully qualified and cannot contain regexes."
PRINCIPALS = "Policy contains a statement with one or more invalid principals."
IAM_PATHS = (
    'IAM resource path must either be "*" or start with user/, federated-user/, role/, group/, instance-profile/, '
    "mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/."
)


def refusal(text: str, kind: PolicyKind, *, managed: bool = False) -> str | None:
    try:
        accept_policy(text, kind, managed=managed)
    except MalformedPolicy as error:
        return str(error)
    return None


# --- resources

RESOURCES: list[tuple[str, str | None]] = [
    ("*", None),
    (KEY, None),
    ("arn:aws:s3:::example_bucket", None),
    ("arn:aws-cn:kms:*:*:key/*", None),
    ("arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/app", None),
    ("arn:*:kms:*:*:key/*", None),
    ("arn:aws*:kms:*:*:key/*", None),
    ("arn:aws:kms:*", None),
    ("arn:aws:invalid-service:us-east-1::thing", None),
    ("arn:aws:iam::*:user/${aws:username}", None),
    ("arn:aws:iam::${aws:PrincipalAccount}:role/dev/*", None),
    ("arn:aws:iam::*:*", None),
    ("arn:aws:iam::*:root", None),
    ("arn:aws:s3:us-west-2:123456789012:accesspoint/my-access-point", None),
    ("", 'Resource  must be in ARN format or "*".'),
    ("alias/app", 'Resource alias/app must be in ARN format or "*".'),
    ("invalid resource", 'Resource invalid resource must be in ARN format or "*".'),
    (
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        'Resource 1234abcd-12ab-34cd-56ef-1234567890ab must be in ARN format or "*".',
    ),
    ("**", 'Resource ** must be in ARN format or "*".'),
    ("${aws:username}x", 'Partition "username}x" is not valid for resource "arn:username}x:*:*:*:*".'),
    ("a:bsdfdsafsad", 'Partition "bsdfdsafsad" is not valid for resource "arn:bsdfdsafsad:*:*:*:*".'),
    ("a:b:cadfsdf", 'Partition "b" is not valid for resource "arn:b:cadfsdf:*:*:*".'),
    ("a:b:c:d:e:f:g:h", 'Partition "b" is not valid for resource "arn:b:c:d:e:f:g:h".'),
    ("aws:s3:::example_bucket", 'Partition "s3" is not valid for resource "arn:s3:::example_bucket:*".'),
    ("arn:awz:kms:*:*:key/*", 'Partition "awz" is not valid for resource "arn:awz:kms:*:*:key/*".'),
    ("ARN:aws:kms:*:*:key/*", 'Partition "aws" is not valid for resource "arn:aws:kms:*:*:key/*".'),
    ("arn::kms:*:*:key/*", 'Partition "" is not valid for resource "arn::kms:*:*:key/*".'),
    ("arn:aws", VENDOR),
    ("arn:aws:*:*:*:key/*", VENDOR),
    ("arn:aws:k?s:*:*:key/*", VENDOR),
    ("arn:aws:kms", LEGACY),
    ("arn:aws:kms:us-east-1:111122223333", LEGACY),
    ("arn:aws:s3::example_bucket", LEGACY),
    ("arn:aws::fdsasf", LEGACY),
    ("arn:aws::::example_bucket", LEGACY),
    ("arn:aws:iam:us-east-1::user/a", "IAM resource arn:aws:iam:us-east-1::user/a cannot contain region information."),
    ("arn:aws:iam:::example_bucket", IAM_PATHS),
    ("arn:aws:s3:us-east-1::b", "Resource arn:aws:s3:us-east-1::b can not contain region information."),
]


@pytest.mark.parametrize(("resource", "message"), RESOURCES)
@pytest.mark.parametrize("element", ["Resource", "NotResource"])
def test_a_resource_is_a_star_or_an_arn(resource: str, message: str | None, element: str) -> None:
    for kind, principal in ((IDENTITY, ()), (RESOURCE, (ROOT,))):
        statement = allow(*principal, on=None) | {element: [KEY, resource]}
        assert refusal(document(statement), kind) == message


def test_a_long_resource_is_not_repeated_whole() -> None:
    assert len(refusal(document(allow(on="a" * 30_000)), IDENTITY) or "") < 400
    assert len(refusal(document(allow(on="a:b:" + "c" * 30_000)), IDENTITY) or "") < 800


# --- values of conditions

CONDITION_VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    "IpAddress": (
        ["203.0.113.0/24", "203.0.113.7", "203.0.113.7/8", "2001:db8::/32", "::1", "0.0.0.0/0"],
        ["127.0.0.0/33", "localhost", "203.0.113", "2001:db8::/129", "203.0.113.0/-1", "*", "", "fe80::1%eth0"],
    ),
    "DateGreaterThan": (
        [
            *("2017-07-01T00:00:00Z", "2016-12-13T21:20:37.593194+00:00", "2016-12-13t2:00:00.593194+23", "01T"),
            *("-292275054", "2026", "2026-02", "2026-02-03", "2026-02-03T04:05Z", "0", 1767225600),
            "9223372036854775807",
        ],
        [
            *("sdfdsf", "234-13", "2016-12-13t2:00:00.593194+1", "2016-12-13t2:00:00.1999999999+10:59"),
            *("9223372036854775808", "2026-02-30", "2026-00-01", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z"),
            *("2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+10:60", "292278994-01-01", "tomorrow", "", "*"),
        ],
    ),
    "NumericEquals": (
        ["5", 5, "-5.5", "1e3", "+7", "0.", 10**60],
        ["five", "NaN", "Infinity", "1_0", "", "0x10", "1e9999999"],
    ),
    "Bool": (["true", "FALSE", True, False], ["yes", "1", 1, "", "truefalse"]),
    "Null": (["true", "false", "True", True], ["x", "", "0", "${aws:username}"]),
    "BinaryEquals": (["aGVsbG8=", ""], ["not base64", "a", "é"]),
    "StringLike": (["", "*", "${", "${}", "x" * 2000], []),
    "ArnLike": (["*", "arn:aws:iam::*:role/*"], []),
}  # fmt: skip


@pytest.mark.parametrize(
    ("operator", "value", "accepted"),
    [
        (operator, value, accepted)
        for operator, cases in CONDITION_VALUES.items()
        for accepted, values in zip((True, False), cases, strict=True)
        for value in values
    ],
    ids=repr,
)
def test_the_values_of_a_condition(operator: str, value: Any, accepted: bool) -> None:  # noqa: FBT001 - a table
    for kind, principal, on in ((IDENTITY, (), "*"), (RESOURCE, (ROOT,), "*"), (TRUST, (ROOT,), None)):
        statement = deny(*principal, do="sts:AssumeRole", on=on, when={operator: {"aws:anything": ["true", value]}})
        statement["Condition"][operator]["aws:anything"][0] = CONDITION_VALUES[operator][0][0]
        assert refusal(document(statement), kind) == (None if accepted else LEGACY)


def test_a_value_that_a_variable_completes_is_accepted_where_there_are_variables() -> None:
    statement = allow(when={"IpAddress": {"aws:SourceIp": "${aws:PrincipalTag/network}"}})
    assert refusal(document(statement), IDENTITY) is None
    assert refusal(document(statement, version="2008-10-17"), IDENTITY) == LEGACY


@pytest.mark.parametrize(
    "operator", ["NotIpAddress", "DateNotEquals", "NumericLessThanEquals", "ForAnyValue:Bool", "DateLessThanIfExists"]
)
def test_every_operator_of_a_type_has_its_values_checked(operator: str) -> None:  # fmt: skip
    assert refusal(document(allow(when={operator: {"a:b": "neither"}})), IDENTITY) == LEGACY


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"aws:RequestTag/env": "test", "aws:requesttag/ENV": "live"}},
        {"StringEquals": {"a:b": "x"}, "stringequals": {"A:B": "y"}},
    ],
)
def test_a_condition_that_is_there_twice_but_for_case_is_refused(condition: Json) -> None:
    assert refusal(document(deny(when=condition)), IDENTITY) == "Syntax errors in policy."
    assert parse_policy(document(deny(when=condition)), IDENTITY).statements


def test_one_key_may_have_several_operators() -> None:
    several = {
        "StringEquals": {"a:b": "x"},
        "StringEqualsIfExists": {"a:b": "x"},
        "ForAnyValue:StringEquals": {"a:b": "x"},
    }
    assert refusal(document(deny(when=several)), IDENTITY) is None


# --- Sids and versions


@pytest.mark.parametrize("sid", ["a b", "a-b", "a_b", "ä"])
def test_a_sid_is_alphanumeric_in_identity_policies_only(sid: str) -> None:
    assert refusal(document(allow(Sid=sid)), IDENTITY) == SID
    assert refusal(document(allow(ROOT, Sid=sid)), RESOURCE) is None


def test_sids_are_unique_but_for_empty_ones() -> None:
    for kind, principal in ((IDENTITY, ()), (RESOURCE, (ROOT,))):
        assert refusal(document(allow(*principal, Sid="a"), allow(*principal, Sid="a")), kind) == UNIQUE
        assert refusal(document(allow(*principal, Sid="a"), allow(*principal, Sid="A")), kind) is None
        assert refusal(document(allow(*principal, Sid=""), allow(*principal, Sid="")), kind) is None


@pytest.mark.parametrize("version", [None, "2008-10-17"])
def test_a_managed_policy_has_the_newest_version(version: str | None) -> None:
    text = json.dumps({"Statement": allow()} | ({} if version is None else {"Version": version}))
    assert refusal(text, IDENTITY) is None
    assert refusal(text, IDENTITY, managed=True) == "Policy document must be version 2012-10-17 or greater."


# --- elements

ELEMENTS: list[tuple[PolicyKind, Json, str | None]] = [
    (RESOURCE, {"Effect": "Allow", "Principal": "*", "Resource": "*"}, "Policy statement must contain actions."),
    (RESOURCE, {"Effect": "Allow", "Principal": "*", "Action": "kms:*"}, "Policy statement must contain resources."),
    (RESOURCE, {"Effect": "Allow", "Principal": "*", "NotAction": "kms:*", "NotResource": KEY}, None),
    (RESOURCE, others("Allow", "*"), PRINCIPALS),
    (RESOURCE, others("Allow", ALICE), PRINCIPALS),
    (RESOURCE, others("Deny", ALICE), None),
    (IDENTITY, allow(do=[]), "Policy statement must contain actions."),
    (IDENTITY, allow(on=[]), "Policy statement must contain resources."),
    (IDENTITY, allow(Effect="denY"), LEGACY),
    (IDENTITY, allow(do=""), "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."),
    (IDENTITY, allow(do="a a:ListBucket"), "Vendor a a is not valid"),
    (IDENTITY, allow(do="s3:List:Bucket"), "Actions/Condition can contain only one colon."),
    (IDENTITY, allow() | {"Condition": {"DateGreaterThan": {}}}, None),
    (IDENTITY, allow() | {"Condition": {"x": {}, "y": {}}}, None),
]


@pytest.mark.parametrize(("kind", "statement", "message"), ELEMENTS)
def test_the_elements_of_a_statement(kind: PolicyKind, statement: Json, message: str | None) -> None:
    assert refusal(document(statement), kind) == message


# --- documents that were stored before a rule existed


@pytest.mark.parametrize(
    "statement",
    [
        deny(ROOT, when={"IpAddress": {"aws:SourceIp": "localhost"}}),
        allow(ROOT, on="alias/app"),
        allow(ROOT, on=None),
        others("Allow", "*"),
    ],
)
def test_a_stored_document_is_still_read(statement: Json) -> None:
    assert parse_policy(document(statement), RESOURCE).statements
    assert refusal(document(statement), RESOURCE) is not None


def test_an_allow_for_all_but_everyone_allows_no_caller() -> None:
    policy = compiled(RESOURCE, others("Allow", "*"))
    for caller in (alice, root):
        decision = decide(AuthorizationRequest(caller, "kms:Encrypt", KEY), Policies(resource=policy))
        assert not decision.allowed


def test_a_denial_for_all_but_everyone_denies_no_caller() -> None:
    policy = compiled(RESOURCE, allow(ALICE), others("Deny", "*"))
    assert decide(AuthorizationRequest(alice, "kms:Encrypt", KEY), Policies(resource=policy)).allowed


def test_an_escaped_star_matches_only_a_star() -> None:
    policy = compiled(RESOURCE, allow(ALICE, when={"StringLike": {"a:k": "x${*}"}}))
    for have, allowed in (("x*", True), ("x\ue000", False), ("xy", False)):
        request = AuthorizationRequest(alice, "kms:Encrypt", KEY, {"a:k": (have,)}.get)
        assert decide(request, Policies(resource=policy)).allowed is allowed
