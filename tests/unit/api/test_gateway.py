"""The gateway under a manual clock: expired sessions, invalid access key ids, and calls on behalf of others."""

import pytest
from botocore.credentials import Credentials

from direct_client import DirectClient
from policies import allow, document
from strongroom.api.sigv4 import Verifier
from strongroom.http.message import HttpRequest

SERVICE = "backup.amazonaws.com"
ROOT = "arn:aws:iam::000000000000:root"
ON_BEHALF_OF = "X-Strongroom-On-Behalf-Of"
FOR_ROOT = {ON_BEHALF_OF: ROOT}


@pytest.fixture
def direct(direct: DirectClient) -> DirectClient:
    direct.local.deployment.registrar.create_service(SERVICE)
    return direct


def new_user(direct: DirectClient, name: str = "alice") -> Credentials:
    """Return the access key of a new user who may do everything."""
    root = direct.profile()
    direct.query(root, "iam", "CreateUser", UserName=name)
    everything = document(allow(do="*"))
    direct.query(root, "iam", "PutUserPolicy", UserName=name, PolicyName="own", PolicyDocument=everything)
    made = direct.query(root, "iam", "CreateAccessKey", UserName=name)
    return Credentials(made.field("AccessKeyId"), made.field("SecretAccessKey"))


def session_of(direct: DirectClient, user: Credentials, seconds: int) -> Credentials:
    """Create a role that trusts the account; return a session of it."""
    trust = document({"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "sts:AssumeRole"})
    role = direct.query(direct.profile(), "iam", "CreateRole", RoleName="job", AssumeRolePolicyDocument=trust).field(
        "Arn"
    )
    made = direct.query(user, "sts", "AssumeRole", RoleArn=role, RoleSessionName="one", DurationSeconds=str(seconds))
    return Credentials(*(made.field(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")))


def test_a_session_expires_after_its_duration(direct: DirectClient) -> None:
    session = session_of(direct, new_user(direct), 900)
    direct.local.clock.advance(899)
    assert direct.query(session, "sts", "GetCallerIdentity").status == 200
    direct.local.clock.advance(1)
    expired = direct.query(session, "sts", "GetCallerIdentity")
    assert (expired.status, expired.error) == (403, "ExpiredToken")
    assert "The security token included in the request is expired" in expired.text
    expired = direct.kms(session, "ListKeys")
    assert (expired.status, expired.error) == (400, "ExpiredTokenException")
    record = direct.local.records()[-1]
    assert (record["errorCode"], record["userIdentity"]) == ("ExpiredTokenException", {"type": "Unknown"})


def test_expiry_of_a_session_is_reported_only_if_the_signature_is_valid(direct: DirectClient) -> None:
    session = session_of(direct, new_user(direct), 900)
    direct.local.clock.advance(901)
    forged = Credentials(session.access_key, "not the secret", session.token)
    assert direct.kms(forged, "ListKeys").error == "InvalidSignatureException"


# --- on behalf of others


def test_a_service_calls_on_behalf_of_a_principal(direct: DirectClient) -> None:
    user = new_user(direct)
    service = direct.profile(SERVICE)
    key_id = direct.kms(direct.profile(), "CreateKey").json["KeyMetadata"]["KeyId"]
    arn = f"arn:aws:kms:us-east-1:000000000000:key/{key_id}"
    for principal in (ROOT, "arn:aws:iam::000000000000:user/alice"):
        assert direct.kms(service, "DescribeKey", KeyId=arn, more={ON_BEHALF_OF: principal}).status == 200
        identity = direct.local.records()[-1]["userIdentity"]
        assert (identity["arn"], identity["invokedBy"]) == (principal, SERVICE)
    assert direct.kms(service, "DescribeKey", KeyId=arn).error == "AccessDeniedException"
    assert direct.kms(user, "DescribeKey", KeyId=arn).status == 200


def test_a_service_calls_on_behalf_of_a_role_as_a_session_of_it(direct: DirectClient) -> None:
    session_of(direct, new_user(direct), 900)
    for principal, shown in (
        ("arn:aws:iam::000000000000:role/job", "arn:aws:sts::000000000000:assumed-role/job/session"),
        ("arn:aws:sts::000000000000:assumed-role/job/two", "arn:aws:sts::000000000000:assumed-role/job/two"),
    ):
        direct.kms(direct.profile(SERVICE), "ListKeys", more={ON_BEHALF_OF: principal})
        assert direct.local.records()[-1]["userIdentity"]["arn"] == shown


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
def test_a_service_cannot_call_on_behalf_of_a_principal_that_does_not_exist(
    direct: DirectClient, principal: str
) -> None:
    session_of(direct, new_user(direct), 900)
    answer = direct.kms(direct.profile(SERVICE), "ListKeys", more={ON_BEHALF_OF: principal})
    assert answer.error == "AccessDeniedException"
    assert f"{SERVICE} may not call on behalf of {principal}" in answer.text
    record = direct.local.records()[-1]
    assert record["errorCode"] == "AccessDenied"
    assert record["userIdentity"]["invokedBy"] == SERVICE


def test_only_services_can_call_on_behalf_of_others(direct: DirectClient) -> None:
    user = new_user(direct)
    for caller in (user, direct.profile()):
        assert direct.kms(caller, "ListKeys", more=FOR_ROOT).error == "AccessDeniedException"
    assert direct.local.records()[-1]["userIdentity"]["type"] == "Root"


@pytest.mark.parametrize("name", [ON_BEHALF_OF, "X-Amz-Source-Arn", "X-Amz-Source-Account"])
def test_the_headers_that_only_services_send_must_be_signed(direct: DirectClient, name: str) -> None:
    request = direct.kms_request(direct.profile(SERVICE), "ListKeys", {}, {})
    request.headers[name.lower()] = ROOT
    answer = direct.receive(request)
    assert answer.error == "InvalidSignatureException"
    assert f"'{name.lower()}' must be a 'SignedHeader' in the AWS Authorization." in answer.text


# --- invalid access key ids


@pytest.mark.parametrize("name", [ROOT, SERVICE, "arn:aws:iam::000000000000:user/alice"])
def test_a_principal_is_not_an_access_key(direct: DirectClient, name: str) -> None:
    """Principals that services call on behalf of are cached; their names must not work as access key ids."""
    new_user(direct)
    direct.kms(direct.profile(SERVICE), "ListKeys", more={ON_BEHALF_OF: name})
    for token in (None, name):
        forged = direct.kms(Credentials(name, "", token), "ListKeys")
        assert forged.error in {"UnrecognizedClientException", "IncompleteSignatureException"}


def test_an_access_key_id_is_not_a_session_token(direct: DirectClient) -> None:
    root = direct.profile()
    assert root.access_key is not None
    assert direct.kms(root, "ListKeys").status == 200
    doubled = Credentials(root.access_key, root.secret_key, root.access_key)
    assert direct.kms(doubled, "ListKeys").error == "UnrecognizedClientException"


# --- unsigned requests


@pytest.mark.parametrize(
    ("action", "version"),
    [("AssumeRole", "2011-06-15"), ("GetCallerIdentity", "2011-06-15"), ("CreateUser", "2010-05-08")],
)
def test_only_assume_role_with_web_identity_may_be_unsigned(direct: DirectClient, action: str, version: str) -> None:
    body = f"Action={action}&Version={version}".encode()
    headers = {"content-type": "application/x-www-form-urlencoded", "host": "strongroom"}
    answer = direct.receive(HttpRequest("POST", "/", "", headers, body, "127.0.0.1", secure=False))
    assert (answer.status, answer.error) == (403, "MissingAuthenticationToken")


@pytest.mark.parametrize(
    ("service", "action"), [("sts", "GetSessionToken"), ("sts", "GetCallerIdentity"), ("iam", "ListUsers")]
)
def test_a_service_cannot_call_iam_or_sts_on_behalf_of_others(direct: DirectClient, service: str, action: str) -> None:
    """Credentials created on behalf of a principal would outlive the call, and would not show the service."""
    refused = direct.query(direct.profile(SERVICE), service, action, more=FOR_ROOT)
    assert (refused.status, refused.error) == (403, "AccessDenied")


def test_a_call_that_waited_for_a_thread_is_authorized_when_it_runs(direct: DirectClient) -> None:
    user, root = new_user(direct), direct.profile()
    waiting = [
        direct.gateway.admit(direct.query_request(user, "iam", "CreateUser", {}, {"UserName": name}))
        for name in ("one", "two", "three")
    ]
    assert direct.answer(waiting.pop()).status == 200
    direct.query(root, "iam", "DeleteUserPolicy", UserName="alice", PolicyName="own")
    assert direct.answer(waiting.pop()).error == "AccessDenied"
    direct.query(root, "iam", "DeleteAccessKey", UserName="alice", AccessKeyId=user.access_key)
    assert direct.answer(waiting.pop()).error == "InvalidClientTokenId"


def test_a_session_of_a_user_or_root_cannot_call_iam(direct: DirectClient) -> None:
    """Otherwise a stolen session could be used to create further access keys until it expires."""
    for keys in (direct.profile(), new_user(direct)):
        made = direct.query(keys, "sts", "GetSessionToken")
        session = Credentials(*(made.field(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")))
        for action in ("ListUsers", "CreateAccessKey"):
            refused = direct.query(session, "iam", action)
            assert (refused.status, refused.error) == (403, "InvalidClientTokenId")
        assert direct.kms(session, "ListKeys").status == 200
    role = session_of(direct, new_user(direct, "bob"), 900)
    assert direct.query(role, "iam", "ListUsers").error == "AccessDenied"


def test_the_partition_of_an_account_does_not_depend_on_the_region_of_the_signature(direct: DirectClient) -> None:
    """Otherwise a Deny on ``arn:aws:iam::…`` would not apply to users created as ``arn:aws-cn:iam::…``."""
    verifier = Verifier(
        direct.local.deployment.service.pipeline.credential, frozenset({"us-east-1", "cn-north-1"}), 300.0
    )
    direct.gateway._verifier = verifier
    request = direct.query_request(direct.profile(), "iam", "CreateUser", {}, {"UserName": "anybody"}, "cn-north-1")
    assert direct.receive(request).field("Arn") == "arn:aws:iam::000000000000:user/anybody"
    direct.gateway._verifier = Verifier(
        direct.local.deployment.service.pipeline.credential, frozenset({"us-east-1"}), 300.0
    )
    assert "valid region, not 'cn-north-1'" in direct.receive(request).text
