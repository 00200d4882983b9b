"""Hostile or careless clients of IAM and STS get a typed error in XML quickly, and the server continues to serve."""

from typing import Any
from urllib.parse import quote

import pytest
from botocore.credentials import Credentials
from mypy_boto3_iam.client import IAMClient

from client_errors import error_with_status
from clients import client_with, credentials_of, send
from identities import ACCOUNT, new_name
from local_server import RunningServer
from policies import allow, document
from query_requests import (
    QUERY_CONTENT_TYPE,
    VERSION,
    query_body,
    query_error,
    signed_query,
    successful_answer,
    unsigned_query,
)

LIST_USERS = query_body("iam", "ListUsers")
MALFORMED = (400, "MalformedInput")


# --- actions and versions


@pytest.mark.parametrize(
    ("service", "action"),
    [
        ("iam", "Nonsense"),
        ("iam", ""),
        ("iam", "listusers"),
        ("iam", "AssumeRole"),
        ("iam", "Encrypt"),
        ("iam", "<ListUsers/>\x00\r\n"),
        ("iam", "A" * 100_000),
        ("sts", "ListUsers"),
        ("sts", "__class__"),
    ],
)
def test_unknown_actions(server: RunningServer, service: str, action: str) -> None:
    status, code, message = query_error(server, signed_query(server, service, query_body(service, action)))
    assert (status, code) == (400, "InvalidAction")
    assert message.startswith("Could not find operation ")
    assert message.endswith(f" for version {VERSION[service]}")
    assert len(message) < 200


@pytest.mark.parametrize(
    ("body", "version"),
    [
        (b"Action=ListUsers&Version=2011-06-15", "2011-06-15"),
        (b"Action=ListUsers&Version=", ""),
        (b"Action=ListUsers", "NO_VERSION_SPECIFIED"),
    ],
)
def test_another_version_or_none(server: RunningServer, body: bytes, version: str) -> None:
    assert query_error(server, signed_query(server, "iam", body)) == (
        400,
        "InvalidAction",
        f"Could not find operation ListUsers for version {version}",
    )


@pytest.mark.parametrize("body", [b"", b"Version=2010-05-08", b"action=ListUsers", b"ListUsers", b"&&&=&=", b"{}"])
def test_no_action(server: RunningServer, body: bytes) -> None:
    assert query_error(server, signed_query(server, "iam", body))[:2] == (400, "InvalidAction")


@pytest.mark.parametrize("content_type", ["application/json", "text/xml", "multipart/form-data; boundary=x", ""])
def test_another_content_type(server: RunningServer, content_type: str) -> None:
    answer = send(server, signed_query(server, "iam", LIST_USERS, content_type=content_type))
    assert (answer.status, answer.body) == (404, b"<UnknownOperationException/>\n")
    assert answer.headers["x-amzn-requestid"]


@pytest.mark.parametrize(
    "content_type", [QUERY_CONTENT_TYPE, "application/x-www-form-urlencoded", QUERY_CONTENT_TYPE.upper()]
)
def test_a_form_by_any_of_its_names(server: RunningServer, content_type: str) -> None:
    successful_answer(server, signed_query(server, "iam", LIST_USERS, content_type=content_type))


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
def test_another_method(server: RunningServer, method: str) -> None:
    request = signed_query(server, "iam", LIST_USERS)
    request.method = method
    answer = send(server, request)
    assert answer.status == 404
    assert answer.headers["x-amzn-requestid"]
    request = unsigned_query(b"")
    request.method, request.path = method, f"/?{LIST_USERS.decode()}"
    assert send(server, request).status == 404


# --- fields


CREATE_USER = query_body("iam", "CreateUser", [("UserName", "not-made")])

BROKEN_FIELDS: dict[str, tuple[bytes, str]] = {
    "a field given twice": (b"&UserName=other", "MalformedInput"),
    "a field given twice, the same": (b"&Path=/&Path=/", "MalformedInput"),
    "the action given twice": (b"&Action=CreateUser", "MalformedInput"),
    "a text that is also a structure": (b"&UserName.x=1", "MalformedInput"),
    "a structure that is also a text": (b"&Path.x=1&Path=/", "MalformedInput"),
    "a structure for a text": (b"&Path.x=1", "MalformedInput"),
    "a text for a list": (b"&Tags=x", "MalformedInput"),
    "a list without member": (b"&Tags.1.Key=a&Tags.1.Value=b", "MalformedInput"),
    "a list whose members are text": (b"&Tags.member=x", "MalformedInput"),
    "a text for a structure": (b"&Tags.member.1=x", "MalformedInput"),
    "an index that is no number": (b"&Tags.member.one.Key=a", "MalformedInput"),
    "an index of zero": (b"&Tags.member.0.Key=a", "MalformedInput"),
    "a negative index": (b"&Tags.member.-1.Key=a", "MalformedInput"),
    "an index with a zero before it": (b"&Tags.member.01.Key=a", "MalformedInput"),
    "an index in another script": ("&Tags.member.\u0661.Key=a".encode(), "MalformedInput"),
    "no index": (b"&Tags.member..Key=a", "MalformedInput"),
    "a huge index": (b"&Tags.member.99999999999999999999.Key=a", "MalformedInput"),
    "an index of five thousand digits": (b"&Tags.member." + b"9" * 5000 + b".Key=a", "MalformedInput"),
    "a name nested too deep": (b"&" + b".".join([b"a"] * 20) + b"=x", "MalformedInput"),
    "a name nested very deep": (b"&" + b"." * 100_000 + b"=x", "MalformedInput"),
    "bytes that are not UTF-8": (b"&Path=/\xff/", "MalformedInput"),
    "escaped bytes that are not UTF-8": (b"&Path=/%ff/", "MalformedInput"),
    "half of a surrogate pair": (b"&Path=/%ed%a0%80/", "MalformedInput"),
    "an overlong encoding": (b"&Path=%c0%af", "MalformedInput"),
    "a structure without its member": (b"&Tags.member.1.Value=b", "ValidationError"),
    "an escape that is none": (b"&Path=%zz", "ValidationError"),
    "half an escape": (b"&Path=%2", "ValidationError"),
    "too many members": (b"".join(b"&Tags.member.%d.Key=%d" % (i, i) for i in range(1, 1200)), "MalformedInput"),
    "too many tags": (
        b"".join(b"&Tags.member.%d.Key=%d&Tags.member.%d.Value=" % (i, i, i) for i in range(1, 52)),
        "ValidationError",
    ),
    "a field of almost 1 MiB": (b"&Path=/" + b"x" * 1_048_000 + b"/", "ValidationError"),
    "a name of almost 1 MiB": (b"&" + b"x." * 524_000 + b"=1", "MalformedInput"),
    "a million ampersands": (b"&" * 1_048_000, "MalformedInput"),
}


@pytest.mark.parametrize("case", BROKEN_FIELDS)
def test_broken_fields(server: RunningServer, iam: IAMClient, case: str) -> None:
    more, expected = BROKEN_FIELDS[case]
    status, code, _ = query_error(server, signed_query(server, "iam", CREATE_USER + more))
    assert (status, code) == (400, expected)
    assert error_with_status(404, iam.get_user, UserName="not-made")["Code"] == "NoSuchEntity"


def test_a_form_has_at_most_5_000_fields(server: RunningServer) -> None:
    full = LIST_USERS + b"".join(b"&x%d=" % number for number in range(4_998))
    successful_answer(server, signed_query(server, "iam", full))
    assert query_error(server, signed_query(server, "iam", full + b"&y="))[:2] == MALFORMED


def test_a_form_over_1_mib(server: RunningServer) -> None:
    largest = CREATE_USER + b"&Path=/" + b"x" * (1024 * 1024 - len(CREATE_USER) - len("&Path=/"))
    assert query_error(server, unsigned_query(largest))[:2] == (403, "MissingAuthenticationToken")
    announced = unsigned_query(b"x")
    announced.headers["Content-Length"] = str(1024 * 1024 + 1)
    assert query_error(server, announced)[:2] == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize("value", ["ten", "", "1.5", "1e3", "0x10", "٣", " 1", "9" * 5000, "-", "null", "true"])
def test_numbers_that_are_none(server: RunningServer, value: str) -> None:
    body = query_body("iam", "ListUsers", [("MaxItems", value)])
    assert query_error(server, signed_query(server, "iam", body))[:2] == MALFORMED


def test_booleans_that_are_none(server: RunningServer) -> None:
    for value in ("yes", "1", "", "null"):
        body = query_body("iam", "ListPolicies", [("OnlyAttached", value)])
        assert query_error(server, signed_query(server, "iam", body))[:2] == MALFORMED


def test_gaps_in_a_list_and_their_order_mean_nothing_but_order(server: RunningServer, iam: IAMClient) -> None:
    name = new_name("user")
    tags = [(f"Tags.member.{index}.{part}", f"{part}{index}") for index in (9999, 20, 3) for part in ("Key", "Value")]
    successful_answer(server, signed_query(server, "iam", query_body("iam", "CreateUser", [("UserName", name), *tags])))
    assert iam.list_user_tags(UserName=name)["Tags"] == [
        {"Key": f"Key{index}", "Value": f"Value{index}"} for index in (20, 3, 9999)
    ]


def test_unknown_fields_are_ignored(server: RunningServer) -> None:
    successful_answer(server, signed_query(server, "iam", LIST_USERS + b"&Unheard.member.1.Of=x&=&__proto__=1"))


def test_everything_that_is_wrong_with_a_form_is_said_at_once(server: RunningServer) -> None:
    body = query_body("iam", "CreateUser", [("UserName", ""), ("Path", "x")])
    status, code, message = query_error(server, signed_query(server, "iam", body))
    assert (status, code) == (400, "ValidationError")
    assert message.startswith("3 validation errors detected: Value '' at 'userName' failed to satisfy constraint: ")


# --- special characters of XML


def test_special_characters_of_xml_come_back_unchanged(iam: IAMClient) -> None:
    name, nasty = new_name("policy"), " <a href='x'>&amp;&lt;\"]]>\t\r\n\x85\u2028é😀 "
    arn = iam.create_policy(PolicyName=name, PolicyDocument=document(allow()), Description=nasty)["Policy"]["Arn"]
    assert iam.get_policy(PolicyArn=arn)["Policy"]["Description"] == nasty
    tags: Any = [{"Key": "k+=@ :/._-", "Value": "+ é 漢字"}]
    iam.tag_policy(PolicyArn=arn, Tags=tags)
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == tags
    role_name = new_name("role")
    trust = document(allow(f"arn:aws:iam::{ACCOUNT}:root", do="sts:AssumeRole", on=None, Sid="<&>'\""))
    iam.create_role(RoleName=role_name, AssumeRolePolicyDocument=trust, Description="a < b && c\r\n\t> é")
    role: Any = iam.get_role(RoleName=role_name)["Role"]
    assert role["Description"] == "a < b && c\r\n\t> é"
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Sid"] == "<&>'\""


@pytest.mark.parametrize("character", ["\0", "\x01", "\x08", "\x0b", "\x1f", "\ufffe", "\uffff"])
def test_what_xml_cannot_carry_is_refused(iam: IAMClient, character: str) -> None:
    name, policy, trust = new_name("x"), document(allow()), document(allow(f"arn:aws:iam::{ACCOUNT}:root", on=None))
    for call, arguments in (
        (iam.create_policy, {"PolicyName": name, "PolicyDocument": policy, "Description": f"a{character}b"}),
        (iam.create_policy, {"PolicyName": name + character, "PolicyDocument": policy}),
        (iam.create_policy, {"PolicyName": name, "PolicyDocument": f"{policy}{character}"}),
        (iam.create_user, {"UserName": f"a{character}b"}),
        (iam.create_user, {"UserName": name, "Tags": [{"Key": character, "Value": ""}]}),
        (iam.create_user, {"UserName": name, "Tags": [{"Key": "k", "Value": f"a{character}"}]}),
        (iam.create_role, {"RoleName": name, "AssumeRolePolicyDocument": trust, "Description": character}),
        (iam.get_policy, {"PolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/{character}"}),
        (iam.simulate_custom_policy, {"PolicyInputList": [policy], "ActionNames": [f"kms:{character}"]}),
    ):
        assert error_with_status(400, call, **arguments)["Code"] == "ValidationError"


def test_an_error_repeats_what_it_is_about_as_it_was(server: RunningServer) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:policy/<b>&'\"é😀"
    status, code, message = query_error(
        server, signed_query(server, "iam", query_body("iam", "GetPolicy", [("PolicyArn", arn)]))
    )
    assert (status, code, message) == (404, "NoSuchEntity", f"Policy {arn} was not found.")


# --- signatures


def test_a_form_signed_for_another_service(server: RunningServer) -> None:
    identity = query_body("sts", "GetCallerIdentity")
    for body, right, wrong in ((LIST_USERS, "iam", "kms"), (identity, "sts", "kms"), (identity, "sts", "s3")):
        assert query_error(server, signed_query(server, wrong, body)) == (
            403,
            "SignatureDoesNotMatch",
            f"Credential should be scoped to correct service: '{right}'. ",
        )
    for body, wrong in ((LIST_USERS, "sts"), (identity, "iam")):
        assert query_error(server, signed_query(server, wrong, body))[:2] == (400, "InvalidAction")


def test_what_is_changed_after_signing_is_refused(server: RunningServer) -> None:
    def another_body(request: Any) -> None:
        request.body = query_body("iam", "ListRoles")

    def another_service(request: Any) -> None:
        request.headers["Authorization"] = request.headers["Authorization"].replace("/iam/", "/sts/")
        request.body = query_body("sts", "GetCallerIdentity")

    for change in (another_body, another_service):
        status, code, message = query_error(server, signed_query(server, "iam", LIST_USERS), change)
        assert (status, code) == (403, "SignatureDoesNotMatch")
        assert message.startswith("The request signature we calculated does not match the signature you provided.")


@pytest.mark.parametrize(("service", "action"), [("iam", "ListUsers"), ("iam", "CreateUser"), ("sts", "AssumeRole")])
def test_unsigned_calls(server: RunningServer, service: str, action: str) -> None:
    missing = (403, "MissingAuthenticationToken", "Request is missing Authentication Token")
    request = unsigned_query(query_body(service, action))
    assert query_error(server, request) == missing
    request.headers["Authorization"] = "SessionClients x"
    assert query_error(server, request) == missing
    request.headers["Authorization"] = "AWS4-HMAC-SHA256 x"
    assert query_error(server, request)[:2] == (403, "IncompleteSignature")


def test_only_a_web_identity_is_looked_at_without_a_signature(server: RunningServer) -> None:
    secret = "not.a.token-but-a-secret"
    fields = [("RoleArn", f"arn:aws:iam::{ACCOUNT}:role/x"), ("RoleSessionName", "me"), ("WebIdentityToken", secret)]
    status, code, message = query_error(server, unsigned_query(query_body("sts", "AssumeRoleWithWebIdentity", fields)))
    assert (status, code) == (400, "InvalidIdentityToken")
    assert secret not in message
    nothing = unsigned_query(b"Action=AssumeRoleWithWebIdentity")
    assert query_error(server, nothing)[:2] == (400, "InvalidAction")


def test_a_web_identity_token_is_not_repeated(server: RunningServer) -> None:
    for secret in ("abc", "s3cret" * 4000):
        fields = [
            ("RoleArn", f"arn:aws:iam::{ACCOUNT}:role/x"),
            ("RoleSessionName", "me"),
            ("WebIdentityToken", secret),
        ]
        status, code, message = query_error(
            server, unsigned_query(query_body("sts", "AssumeRoleWithWebIdentity", fields))
        )
        assert (status, code) == (400, "ValidationError")
        assert "at 'webIdentityToken' failed to satisfy constraint: Member must have length" in message
        assert secret not in message


def test_session_tokens_that_are_no_use(server: RunningServer) -> None:
    root = credentials_of(server)
    made = client_with(server, "sts", root).get_session_token()["Credentials"]
    key, secret, token = made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]
    identity = query_body("sts", "GetCallerIdentity")
    successful_answer(server, signed_query(server, "sts", identity, credentials=Credentials(key, secret, token)))
    invalid = (403, "InvalidClientTokenId", "The security token included in the request is invalid.")
    for wrong in (
        Credentials(key, secret),
        Credentials(key, secret, "x"),
        Credentials(key, secret, token[:-8]),
        Credentials(key, secret, token[:40] + ("A" if token[40] != "A" else "B") + token[41:]),
        Credentials(key, secret, quote("é\u2028")),
        Credentials(key, secret, "A" * 16_000),
        Credentials(root.access_key, root.secret_key, token),
        Credentials("ASIAIOSFODNN7EXAMPLE", secret, token),
    ):
        assert query_error(server, signed_query(server, "sts", identity, credentials=wrong)) == invalid
    other = Credentials(key, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", token)
    assert query_error(server, signed_query(server, "sts", identity, credentials=other))[:2] == (
        403,
        "SignatureDoesNotMatch",
    )


def test_a_long_form_without_a_signature_is_not_read(server: RunningServer) -> None:
    fields = [("RoleArn", "arn:aws:iam::000000000000:role/none"), ("RoleSessionName", "one")]
    long = unsigned_query(query_body("sts", "AssumeRoleWithWebIdentity", [*fields, ("WebIdentityToken", "%" * 30_000)]))
    status, code, _ = query_error(server, long)
    assert (status, code) == (413, "RequestEntityTooLarge")
