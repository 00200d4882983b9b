"""The gateway under a manual clock: sessions that run out, names that are no keys, and calls on behalf of others."""

import pytest
from botocore.credentials import Credentials

from doors import Door
from policies import allow, document
from strongroom.api.sigv4 import Verifier
from strongroom.http.message import HttpRequest

SERVICE = "backup.amazonaws.com"
ROOT = "arn:aws:iam::000000000000:root"
ON_BEHALF_OF = "X-Strongroom-On-Behalf-Of"
FOR_ROOT = {ON_BEHALF_OF: ROOT}


@pytest.fixture
def door(door: Door) -> Door:
    door.bench.deployment.registrar.create_service(SERVICE)
    return door


def a_user(door: Door, name: str = "alice") -> Credentials:
    """Return the access key of a new user who may do everything."""
    root = door.profile()
    door.query(root, "iam", "CreateUser", UserName=name)
    every = document(allow(do="*"))
    door.query(root, "iam", "PutUserPolicy", UserName=name, PolicyName="own", PolicyDocument=every)
    made = door.query(root, "iam", "CreateAccessKey", UserName=name)
    return Credentials(made.field("AccessKeyId"), made.field("SecretAccessKey"))


def session_of(door: Door, user: Credentials, seconds: int) -> Credentials:
    """Return a session of a role that trusts the account."""
    trust = document({"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "sts:AssumeRole"})
    role = door.query(door.profile(), "iam", "CreateRole", RoleName="job", AssumeRolePolicyDocument=trust).field("Arn")
    made = door.query(user, "sts", "AssumeRole", RoleArn=role, RoleSessionName="one", DurationSeconds=str(seconds))
    return Credentials(*(made.field(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")))


def test_a_session_lasts_as_long_as_it_says(door: Door) -> None:
    session = session_of(door, a_user(door), 900)
    door.bench.clock.advance(899)
    assert door.query(session, "sts", "GetCallerIdentity").status == 200
    door.bench.clock.advance(1)
    expired = door.query(session, "sts", "GetCallerIdentity")
    assert (expired.status, expired.error) == (403, "ExpiredToken")
    assert "The security token included in the request is expired" in expired.text
    expired = door.kms(session, "ListKeys")
    assert (expired.status, expired.error) == (400, "ExpiredTokenException")
    record = door.bench.records()[-1]
    assert (record["errorCode"], record["userIdentity"]) == ("ExpiredTokenException", {"type": "Unknown"})


def test_that_a_session_has_expired_is_told_only_to_its_bearer(door: Door) -> None:
    session = session_of(door, a_user(door), 900)
    door.bench.clock.advance(901)
    forged = Credentials(session.access_key, "not the secret", session.token)
    assert door.kms(forged, "ListKeys").error == "InvalidSignatureException"


# --- on behalf of others


def test_a_service_calls_for_a_principal(door: Door) -> None:
    user = a_user(door)
    service = door.profile(SERVICE)
    key_id = door.kms(door.profile(), "CreateKey").json["KeyMetadata"]["KeyId"]
    arn = f"arn:aws:kms:us-east-1:000000000000:key/{key_id}"
    for principal in (ROOT, "arn:aws:iam::000000000000:user/alice"):
        assert door.kms(service, "DescribeKey", KeyId=arn, more={ON_BEHALF_OF: principal}).status == 200
        identity = door.bench.records()[-1]["userIdentity"]
        assert (identity["arn"], identity["invokedBy"]) == (principal, SERVICE)
    assert door.kms(service, "DescribeKey", KeyId=arn).error == "AccessDeniedException"
    assert door.kms(user, "DescribeKey", KeyId=arn).status == 200


def test_a_service_speaks_for_a_role_through_a_session_of_it(door: Door) -> None:
    session_of(door, a_user(door), 900)
    for principal, shown in (
        ("arn:aws:iam::000000000000:role/job", "arn:aws:sts::000000000000:assumed-role/job/session"),
        ("arn:aws:sts::000000000000:assumed-role/job/two", "arn:aws:sts::000000000000:assumed-role/job/two"),
    ):
        door.kms(door.profile(SERVICE), "ListKeys", more={ON_BEHALF_OF: principal})
        assert door.bench.records()[-1]["userIdentity"]["arn"] == shown


@pytest.mark.parametrize(
    "principal",
    [
        "arn:aws:iam::000000000000:user/nobody",
        "arn:aws:iam::000000000000:user/wrong/alice",
        "arn:aws:iam::000000000000:user/ALICE",
        "arn:aws:iam::000000000000:role/alice",
        "arn:aws:iam::000000000000:group/alice",
        "arn:aws:sts::000000000000:assumed-role/job",
        "arn:aws:sts::000000000000:assumed-role/job/",
        "arn:aws:iam::111122223333:root",
        "arn:aws:s3:::root",
        "s3.amazonaws.com",
        SERVICE,
        "root",
        "",
    ],
)
def test_only_for_principals_that_exist(door: Door, principal: str) -> None:
    session_of(door, a_user(door), 900)
    answer = door.kms(door.profile(SERVICE), "ListKeys", more={ON_BEHALF_OF: principal})
    assert answer.error == "AccessDeniedException"
    assert f"{SERVICE} may not call on behalf of {principal}" in answer.text
    record = door.bench.records()[-1]
    assert record["errorCode"] == "AccessDenied"
    assert record["userIdentity"]["invokedBy"] == SERVICE


def test_nobody_else_calls_on_behalf_of_others(door: Door) -> None:
    user = a_user(door)
    for caller in (user, door.profile()):
        assert door.kms(caller, "ListKeys", more=FOR_ROOT).error == "AccessDeniedException"
    assert door.bench.records()[-1]["userIdentity"]["type"] == "Root"


@pytest.mark.parametrize("name", [ON_BEHALF_OF, "X-Amz-Source-Arn", "X-Amz-Source-Account"])
def test_what_a_service_says_of_its_call_must_be_signed(door: Door, name: str) -> None:
    request = door.kms_request(door.profile(SERVICE), "ListKeys", {}, {})
    request.headers[name.lower()] = ROOT
    answer = door.receive(request)
    assert answer.error == "InvalidSignatureException"
    assert f"'{name.lower()}' must be a 'SignedHeader' in the AWS Authorization." in answer.text


# --- names that are no keys


@pytest.mark.parametrize("name", [ROOT, SERVICE, "arn:aws:iam::000000000000:user/alice"])
def test_a_principal_is_not_an_access_key(door: Door, name: str) -> None:
    """Principals that services speak for are remembered; nobody must be able to sign as one, without a secret."""
    a_user(door)
    door.kms(door.profile(SERVICE), "ListKeys", more={ON_BEHALF_OF: name})
    for token in (None, name):
        forged = door.kms(Credentials(name, "", token), "ListKeys")
        assert forged.error in {"UnrecognizedClientException", "IncompleteSignatureException"}


def test_an_access_key_is_not_a_token(door: Door) -> None:
    root = door.profile()
    assert root.access_key is not None
    assert door.kms(root, "ListKeys").status == 200
    doubled = Credentials(root.access_key, root.secret_key, root.access_key)
    assert door.kms(doubled, "ListKeys").error == "UnrecognizedClientException"


# --- without a signature


@pytest.mark.parametrize(
    ("action", "version"),
    [("AssumeRole", "2011-06-15"), ("GetCallerIdentity", "2011-06-15"), ("CreateUser", "2010-05-08")],
)
def test_only_a_web_identity_comes_without_a_signature(door: Door, action: str, version: str) -> None:
    body = f"Action={action}&Version={version}".encode()
    headers = {"content-type": "application/x-www-form-urlencoded", "host": "strongroom"}
    answer = door.receive(HttpRequest("POST", "/", "", headers, body, "127.0.0.1", secure=False))
    assert (answer.status, answer.error) == (403, "MissingAuthenticationToken")


@pytest.mark.parametrize(
    ("service", "action"), [("sts", "GetSessionToken"), ("sts", "GetCallerIdentity"), ("iam", "ListUsers")]
)
def test_a_service_uses_keys_for_others_and_nothing_else(door: Door, service: str, action: str) -> None:
    """Credentials made in somebody's name would outlive the call, and no longer show who called."""
    refused = door.query(door.profile(SERVICE), service, action, more=FOR_ROOT)
    assert (refused.status, refused.error) == (403, "AccessDenied")


def test_a_call_that_waited_for_a_thread_has_the_rights_its_caller_has_by_then(door: Door) -> None:
    user, root = a_user(door), door.profile()
    waiting = [
        door.gateway.admit(door.query_request(user, "iam", "CreateUser", {}, {"UserName": name}))
        for name in ("one", "two", "three")
    ]
    assert door.answer(waiting.pop()).status == 200
    door.query(root, "iam", "DeleteUserPolicy", UserName="alice", PolicyName="own")
    assert door.answer(waiting.pop()).error == "AccessDenied"
    door.query(root, "iam", "DeleteAccessKey", UserName="alice", AccessKeyId=user.access_key)
    assert door.answer(waiting.pop()).error == "InvalidClientTokenId"


def test_a_session_of_a_user_or_root_does_not_manage_identities(door: Door) -> None:
    """Or whoever steals an access key could make others, for as long as a session lasts."""
    for keys in (door.profile(), a_user(door)):
        made = door.query(keys, "sts", "GetSessionToken")
        session = Credentials(*(made.field(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")))
        for action in ("ListUsers", "CreateAccessKey"):
            refused = door.query(session, "iam", action)
            assert (refused.status, refused.error) == (403, "InvalidClientTokenId")
        assert door.kms(session, "ListKeys").status == 200
    role = session_of(door, a_user(door, "bob"), 900)
    assert door.query(role, "iam", "ListUsers").error == "AccessDenied"


def test_the_partition_of_an_account_does_not_depend_on_where_a_request_was_signed_for(door: Door) -> None:
    """Or a Deny on ``arn:aws:iam::…`` would not reach what is made as ``arn:aws-cn:iam::…``."""
    verifier = Verifier(door.bench.deployment.service.credential, frozenset({"us-east-1", "cn-north-1"}), 300.0)
    door.gateway._verifier = verifier
    request = door.query_request(door.profile(), "iam", "CreateUser", {}, {"UserName": "anybody"}, "cn-north-1")
    assert door.receive(request).field("Arn") == "arn:aws:iam::000000000000:user/anybody"
    door.gateway._verifier = Verifier(door.bench.deployment.service.credential, frozenset({"us-east-1"}), 300.0)
    assert "valid region, not 'cn-north-1'" in door.receive(request).text
