"""Hostile policy documents: refused quickly, as AWS refuses them, by every operation that takes a document."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from mypy_boto3_iam.client import IAMClient
from mypy_boto3_kms.client import KMSClient

from accounts import Account
from client_errors import error_with_status
from identities import ACCOUNT_ROOT, Identities, new_name
from policies import Json, allow
from query_requests import PATIENCE

SYNTAX = "Syntax errors in policy."
NO_VERSION = "The policy must contain a valid version string."

IDENTITY, RESOURCE = allow(), allow(ACCOUNT_ROOT)
TRUST = allow(ACCOUNT_ROOT, do="sts:AssumeRole", on=None)
POLICY_OPERATIONS: dict[str, Json] = {
    "PutKeyPolicy": RESOURCE,
    "CreateKey": RESOURCE,
    "PutUserPolicy": IDENTITY,
    "CreatePolicy": IDENTITY,
    "CreateRole": TRUST,
    "UpdateAssumeRolePolicy": TRUST,
    "AssumeRole": IDENTITY,
    "SimulateCustomPolicy": IDENTITY,
}
"""An operation that takes a document, and a statement that is valid in it."""

Submitter = Callable[[str], Any]


@pytest.fixture(scope="module")
def submitters(iam: IAMClient, kms: KMSClient, identities: Identities) -> dict[str, Submitter]:
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    user, other = identities.user(allow(do="sts:AssumeRole")), identities.user().name
    role = identities.role()
    name = role["RoleName"]
    return {
        "PutKeyPolicy": lambda text: kms.put_key_policy(KeyId=key_id, Policy=text),
        "CreateKey": lambda text: kms.create_key(Policy=text),
        "PutUserPolicy": lambda text: iam.put_user_policy(UserName=other, PolicyName="p", PolicyDocument=text),
        "CreatePolicy": lambda text: iam.create_policy(PolicyName=new_name("policy"), PolicyDocument=text),
        "CreateRole": lambda text: iam.create_role(RoleName=new_name("role"), AssumeRolePolicyDocument=text),
        "UpdateAssumeRolePolicy": lambda text: iam.update_assume_role_policy(RoleName=name, PolicyDocument=text),
        "AssumeRole": lambda text: user.sts.assume_role(RoleArn=role["Arn"], RoleSessionName="me", Policy=text),
        "SimulateCustomPolicy": lambda text: iam.simulate_custom_policy(
            PolicyInputList=[text], ActionNames=["kms:Encrypt"]
        ),
    }


@contextmanager
def soon() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < PATIENCE


def refused(operation: str, submitters: dict[str, Submitter], text: str) -> tuple[str, str]:
    """Send a document that must be refused with a 400; return the code as IAM and STS have it, and the message."""
    with soon():
        refusal = error_with_status(400, partial(submitters[operation], text))
    in_json = operation in {"PutKeyPolicy", "CreateKey"}
    code = refusal["Code"].removesuffix("Exception") if in_json else refusal["Code"]
    return "ValidationError" if in_json and code == "Validation" else code, refusal["Message"]


def around(statement: Json, raw: str) -> str:
    """Return a document whose one condition has a value in raw JSON."""
    whole = statement | {"Condition": {"NumericEquals": {"aws:MultiFactorAuthAge": "RAW"}}}
    return json.dumps({"Statement": whole}).replace('"RAW"', raw)


def within(statement: Json, **changes: Any) -> str:
    return json.dumps({"Statement": statement | changes})


MALFORMED: dict[str, tuple[Callable[[Json], str], str]] = {
    "no JSON": (lambda _: "{", SYNTAX),
    "white space": (lambda _: " \n", SYNTAX),
    "null": (lambda _: "null", SYNTAX),
    "a number": (lambda _: "1", SYNTAX),
    "a string": (lambda _: '"{}"', SYNTAX),
    "a list of documents": (lambda plain: json.dumps([{"Statement": plain}]), SYNTAX),
    "two documents": (lambda plain: within(plain) * 2, SYNTAX),
    "quotes of another language": (lambda plain: within(plain).replace('"', "'"), SYNTAX),
    "a comment": (lambda plain: within(plain) + "// really", SYNTAX),
    "a comma too many": (lambda plain: within(plain).replace("}}", ",}}"), SYNTAX),
    "no statement": (lambda _: '{"Version": "2012-10-17"}', SYNTAX),
    "a statement of null": (lambda _: '{"Statement": null}', SYNTAX),
    "no statements": (lambda _: '{"Statement": []}', SYNTAX),
    "a version in a list": (lambda plain: json.dumps({"Version": ["2012-10-17"], "Statement": plain}), NO_VERSION),
    "a version in an object": (lambda plain: json.dumps({"Version": {}, "Statement": plain}), NO_VERSION),
    "a version as a number": (lambda plain: json.dumps({"Version": 20121017, "Statement": plain}), NO_VERSION),
    "an effect in a list": (lambda plain: within(plain, Effect=["Allow"]), SYNTAX),
    "an effect in an object": (lambda plain: within(plain, Effect={"Allow": 1}), SYNTAX),
    "an effect that is true": (lambda plain: within(plain, Effect=True), SYNTAX),
    "an action in an object": (lambda plain: within(plain, Action={"kms:*": 1}), SYNTAX),
    "a number among the actions": (lambda plain: within(plain, Action=["kms:*", 1]), SYNTAX),
    "conditions in a list": (lambda plain: within(plain, Condition=[{"Bool": {"a:b": "true"}}]), SYNTAX),
    "a condition value of null": (lambda plain: around(plain, "null"), SYNTAX),
    "a condition value that is an object": (lambda plain: around(plain, '{"a": 1}'), SYNTAX),
    "NaN": (lambda plain: around(plain, "NaN"), SYNTAX),
    "infinity": (lambda plain: around(plain, "Infinity"), SYNTAX),
    "minus infinity": (lambda plain: around(plain, "-Infinity"), SYNTAX),
    "a number beyond all numbers": (lambda plain: around(plain, "1e999"), SYNTAX),
    "a number with a zero before it": (lambda plain: around(plain, "007"), SYNTAX),
    "half of a surrogate pair": (lambda plain: around(plain, r'"\ud800"'), SYNTAX),
    "half of a surrogate pair as a key": (lambda plain: around(plain, r'"x"').replace("aws:", r"\udfff"), SYNTAX),
    "half of a surrogate pair as an operator": (
        lambda plain: within(plain, Condition={"\ud800": {"a:b": "c"}}),
        SYNTAX,
    ),
    "half of a surrogate pair as a sid": (lambda plain: within(plain, Sid="\udfff"), SYNTAX),
    "a line break in a string": (lambda plain: around(plain, '"a\nb"'), SYNTAX),
    "a member twice": (lambda plain: f'{{"Statement": {json.dumps(plain)}, "Statement": []}}', SYNTAX),
    "an effect twice": (lambda plain: within(plain).replace('"Action"', '"Effect": "Deny", "Action"'), SYNTAX),
    "an operator twice": (
        lambda plain: around(plain, '"1"}, "NumericEquals": {"aws:MultiFactorAuthAge": "2"'),
        SYNTAX,
    ),
    "lists nested deep": (lambda _: "[" * 1000 + "]" * 1000, SYNTAX),
    "a statement nested deep": (lambda _: '{"Statement": ' + "[" * 900 + "]" * 900 + "}", SYNTAX),
    "objects nested deep": (lambda _: '{"a":' * 300 + "1" + "}" * 300, SYNTAX),
    "a condition value nested deep": (lambda plain: around(plain, "[" * 700 + '"x"' + "]" * 700), SYNTAX),
    "nested without end": (lambda _: "[" * 2000, SYNTAX),
}


@pytest.mark.parametrize("operation", POLICY_OPERATIONS)
@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_documents(submitters: dict[str, Submitter], operation: str, case: str) -> None:
    write, message = MALFORMED[case]
    assert refused(operation, submitters, write(POLICY_OPERATIONS[operation])) == ("MalformedPolicyDocument", message)


LONG: dict[str, Callable[[Json], str]] = {
    "lists": lambda _: "[" * 15_000 + "]" * 15_000,
    "objects": lambda _: '{"a":' * 5_000 + "1" + "}" * 5_000,
    "nested without end": lambda _: '[{"a":' * 5_000,
    "a number of 30,000 digits": lambda plain: around(plain, "9" * 30_000),
    "a string without end": lambda _: '{"Statement": "' + "x" * 30_000,
    "ten thousand statements": lambda _: '{"Statement": [' + "{}," * 10_000 + "{}]}",
    "three thousand members": lambda _: "{" + ",".join(f'"{i}":1' for i in range(3_000)) + "}",
}


@pytest.mark.parametrize("operation", [operation for operation in POLICY_OPERATIONS if operation != "AssumeRole"])
@pytest.mark.parametrize("case", LONG)
def test_long_malformed_documents(submitters: dict[str, Submitter], operation: str, case: str) -> None:
    assert refused(operation, submitters, LONG[case](POLICY_OPERATIONS[operation])) == (
        "MalformedPolicyDocument",
        SYNTAX,
    )


@pytest.mark.parametrize("operation", POLICY_OPERATIONS)
@pytest.mark.parametrize("character", ["\0", "\x0b", "\x1f", "\x7f\u0100", "\ufeff", "\u2028", "😀"])
def test_characters_no_document_may_have(submitters: dict[str, Submitter], operation: str, character: str) -> None:
    code, message = refused(
        operation, submitters, within(POLICY_OPERATIONS[operation], Sid="HERE").replace("HERE", character)
    )
    assert code == "ValidationError"
    assert message.endswith(r"Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u00FF]+")


@pytest.mark.parametrize("operation", POLICY_OPERATIONS)
def test_what_is_only_unusual_is_accepted_and_goes_on_working(submitters: dict[str, Submitter], operation: str) -> None:
    odd = {
        "StringNotEquals": {
            "aws:UserAgent": ["", "\0", "é😀", '"<&>', "${", "${}", "${aws:username", "${*}", "x" * 90]
        },
        "NumericLessThan": {"aws:MultiFactorAuthAge": [-1, 0.5, 10**60, "1e999999"]},
        "DateGreaterThanIfExists": {"aws:CurrentTime": ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"]},
        "NotIpAddress": {"aws:SourceIp": ["::/0", "1.2.3.4/8"]},
        "ArnNotLike": {"aws:PrincipalArn": ["arn", ":::::", ":" * 99, "*:*:*:*:*:nobody"]},
        "BinaryEqualsIfExists": {"aws:nothing": ["", "AA=="]},
        "ForAllValues:StringEquals": {"kms:EncryptionContext:": "", "aws:TagKeys": "", ":": ""},
    }
    effect = {"Effect": "Deny"} if POLICY_OPERATIONS[operation] is not TRUST else {}
    odd_statement = POLICY_OPERATIONS[operation] | effect | {"Condition": odd}
    text = json.dumps({"Version": "2012-10-17", "Statement": [POLICY_OPERATIONS[operation], odd_statement]})
    with soon():
        submitters[operation](text)
        submitters[operation](text)


# --- sizes


def padded(statement: Json, size: int) -> str:
    """Return a document of so many characters, none of them white space that a quota could leave out."""
    whole = {"Version": "2012-10-17", "Statement": statement | {"Sid": "HERE"}}
    plain = json.dumps(whole, separators=(",", ":"))
    return plain.replace("HERE", "x" * (size - len(plain) + len("HERE")))


SIZES: dict[str, tuple[int, int, str, str]] = {
    "PutKeyPolicy": (32_768, 400, "LimitExceededException", "exceeds the size limit of 32768 bytes"),
    "CreateKey": (32_768, 400, "LimitExceededException", "exceeds the size limit of 32768 bytes"),
    "PutUserPolicy": (2048, 409, "LimitExceeded", "Maximum policy size of 2048 bytes exceeded for user"),
    "CreatePolicy": (6144, 409, "LimitExceeded", "Cannot exceed quota for PolicySize: 6144"),
    "CreateRole": (2048, 409, "LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048"),
    "UpdateAssumeRolePolicy": (2048, 409, "LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048"),
    "AssumeRole": (2048, 400, "PackedPolicyTooLarge", "of allotted space, please use smaller policy."),
    "SimulateCustomPolicy": (131_072, 400, "ValidationError", "less than or equal to 131072"),
}


@pytest.mark.parametrize("operation", SIZES)
def test_documents_at_their_limit_and_over_it(submitters: dict[str, Submitter], operation: str) -> None:
    size, status, code, message = SIZES[operation]
    with soon():
        submitters[operation](padded(POLICY_OPERATIONS[operation], size))
        refusal = error_with_status(
            status, partial(submitters[operation], padded(POLICY_OPERATIONS[operation], size + 1))
        )
    assert refusal["Code"] == code
    assert message in refusal["Message"]


@pytest.mark.parametrize("operation", [operation for operation in POLICY_OPERATIONS if operation != "AssumeRole"])
def test_documents_no_request_may_have(submitters: dict[str, Submitter], operation: str) -> None:
    for size in (131_073, 1_000_000):
        code, message = refused(operation, submitters, padded(POLICY_OPERATIONS[operation], size))
        assert code == "ValidationError"
        assert message.endswith("Member must have length less than or equal to 131072")


# --- patterns


SLOW_PATTERNS = {
    "stars": "*a" * 8_000 + "*b",
    "stars and question marks": "*?" * 8_000 + "b",
    "question marks between stars": "*" + "a?" * 8_000 + "b*",
    "nothing but question marks": "*" + "?" * 16_000 + "b*",
    "almost the text, again and again": "*" + "aaaaaaa?b*" * 1_500,
}


@pytest.mark.parametrize("case", SLOW_PATTERNS)
def test_no_pattern_is_slow(iam: IAMClient, case: str) -> None:
    policy = json.dumps({"Statement": [allow(on=f"arn:aws:kms:us-east-1:*:*{SLOW_PATTERNS[case]}")] * 4})
    with soon():
        answer = iam.simulate_custom_policy(
            PolicyInputList=[policy],
            ActionNames=["kms:Encrypt"],
            ResourceArns=["arn:aws:kms:us-east-1:111122223333:" + "a" * 2000],
        )
    assert answer["EvaluationResults"][0]["EvalDecision"] == "implicitDeny"


@pytest.mark.parametrize("case", SLOW_PATTERNS)
def test_no_pattern_in_a_key_policy_is_slow(kms: KMSClient, case: str) -> None:
    slow = {"StringLike": {"kms:EncryptionContext:name": SLOW_PATTERNS[case]}}
    statements = [RESOURCE, RESOURCE | {"Effect": "Deny", "Condition": slow}]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    key_id = kms.create_key(Policy=policy)["KeyMetadata"]["KeyId"]
    with soon():
        kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext={"name": "a" * 8_000})


def test_a_million_simulations_are_made_a_page_at_a_time(iam: IAMClient) -> None:
    actions = [f"kms:Action{number}" for number in range(1000)]
    resources = [f"arn:aws:x:::{number}" for number in range(1000)]
    asked: Any = {
        "PolicyInputList": [json.dumps({"Statement": allow(do="kms:Action1", on="arn:aws:x:::7")})],
        "ActionNames": actions,
        "ResourceArns": resources,
    }
    with soon():
        first = iam.simulate_custom_policy(**asked, MaxItems=1000)
    with soon():
        second = iam.simulate_custom_policy(**asked, MaxItems=8, Marker=first["Marker"])
    assert [each["EvalActionName"] for each in first["EvaluationResults"]] == ["kms:Action0"] * 1000
    assert [each["EvalDecision"] for each in second["EvaluationResults"]] == ["implicitDeny"] * 7 + ["allowed"]


def test_names_that_a_simulation_would_repeat_a_thousand_times_are_work(iam: IAMClient) -> None:
    """A request of 37 KB had an answer of 12 MB."""
    asked: Any = {
        "PolicyInputList": [json.dumps({"Statement": IDENTITY})],
        "ActionNames": [f"kms:Action{number}" for number in range(1000)],
        "ResourceArns": ["arn:aws:kms:us-east-1:111122223333:" + '"' * 2000],
    }
    refusal = error_with_status(400, partial(iam.simulate_custom_policy, **asked, MaxItems=1000))
    assert (refusal["Code"], "too much work" in refusal["Message"]) == ("InvalidInput", True)
    assert len(iam.simulate_custom_policy(**asked)["EvaluationResults"]) == 100
    usual = {**asked, "ResourceArns": ["arn:aws:kms:us-east-1:111122223333:key/" + "a" * 300]}
    assert len(iam.simulate_custom_policy(**usual, MaxItems=1000)["EvaluationResults"]) == 1000


# --- many values, many variables


def test_a_document_full_of_variables_without_an_end_is_read_soon(iam: IAMClient, kms: KMSClient) -> None:
    text = json.dumps({"Version": "2012-10-17", "Statement": RESOURCE | {"Condition": {"StringLike": {"a:b": "HERE"}}}})
    open_variables = text.replace("HERE", "${" * 12_000)
    with soon():
        refusal = error_with_status(400, partial(kms.create_key, Policy=open_variables))
    assert refusal["Code"] == "MalformedPolicyDocumentException"
    with soon():
        (result,) = iam.simulate_custom_policy(
            PolicyInputList=[
                json.dumps({"Statement": IDENTITY | {"Condition": {"StringLike": {"a:b": "${" * 50_000}}}})
            ],
            ActionNames=["kms:Encrypt"],
        )["EvaluationResults"]
    assert result["EvalDecision"] == "implicitDeny"


NETWORKS = [f"10.{number >> 8}.{number & 255}.0/24" for number in range(1500)]


def test_many_values_in_the_policy_and_many_in_the_request(kms: KMSClient, away: Account) -> None:
    """A caller of another account sends as many keys as fit, to a policy with as many values as fit."""
    condition = {"ForAnyValue:IpAddress": {"kms:EncryptionContextKeys": NETWORKS}}
    opened = RESOURCE | {"Principal": {"AWS": "*"}, "Condition": condition}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [RESOURCE, opened]}, separators=(",", ":"))
    key = kms.create_key(Policy=policy)["KeyMetadata"]["Arn"]
    with soon():
        refusal = error_with_status(
            400,
            partial(
                away.kms.encrypt,
                KeyId=key,
                Plaintext=b"x",
                EncryptionContext={f"key-{number}": "x" for number in range(300)},
            ),
        )
    assert refusal["Code"] == "AccessDeniedException"


def test_many_names_in_the_policy_and_many_in_the_encryption_context(kms: KMSClient) -> None:
    """Each condition went through all pairs: 2.3 million, and only 900 steps were counted."""
    condition = {"Null": {f"kms:EncryptionContext:-{number}": "true" for number in range(850)}}
    policy = json.dumps({"Statement": [RESOURCE, RESOURCE | {"Condition": condition}]}, separators=(",", ":"))
    key = kms.create_key(Policy=policy)["KeyMetadata"]["KeyId"]
    context = {f"{chr(97 + number % 26)}{number // 26:x}": "" for number in range(2600)}
    with soon():
        assert kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=context)["CiphertextBlob"]


def test_a_decision_that_takes_too_much_work_is_refused(kms: KMSClient, away: Account) -> None:
    patterns = [f"*{'a?' * 7}*{number}!" for number in range(1000)]
    condition = {"ForAnyValue:StringLike": {"kms:EncryptionContextKeys": patterns}}
    opened = RESOURCE | {"Principal": {"AWS": "*"}, "Action": "kms:Encrypt", "Condition": condition}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [RESOURCE, opened]}, separators=(",", ":"))
    key = kms.create_key(Policy=policy)["KeyMetadata"]["Arn"]
    context = {("a" * 22) + str(number): "x" for number in range(300)}
    with soon():
        refusal = error_with_status(400, partial(kms.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext=context))
    assert refusal["Code"] == "AccessDeniedException"
    assert refusal["Message"].endswith("because the policies take too much work to evaluate")
    with soon():
        hidden = error_with_status(400, partial(away.kms.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext=context))
    assert "because the resource does not exist in this Region" in hidden["Message"]
    assert kms.encrypt(KeyId=key, Plaintext=b"x")["KeyId"] == key


def test_a_simulation_has_one_budget_for_all_its_decisions(iam: IAMClient) -> None:
    slow = json.dumps({"Statement": [allow(on=f"arn:aws:kms:us-east-1:*{'*a' * 900}*b*")] * 20})
    asked: Any = {
        "PolicyInputList": [slow],
        "ActionNames": [f"kms:Action{number}" for number in range(1000)],
        "ResourceArns": ["arn:aws:kms:us-east-1:111122223333:" + "a" * 2000],
    }
    with soon():
        refusal = error_with_status(400, partial(iam.simulate_custom_policy, **asked, MaxItems=1000))
    assert refusal["Code"] == "InvalidInput"
    assert "too much work" in refusal["Message"]
    assert iam.simulate_custom_policy(**asked, MaxItems=3)["IsTruncated"]
