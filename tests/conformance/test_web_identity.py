"""AssumeRoleWithWebIdentity as a pod calls it: with a token and without an access key."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
from botocore.credentials import Credentials
from mypy_boto3_iam.client import IAMClient
from mypy_boto3_sts.client import STSClient

from accounts import data_of, last_record
from client_errors import error_with_status
from clients import Raw, client_of, client_with, credentials_of, send, signed
from identities import ACCOUNT, new_name
from issuers import AUDIENCE, ISSUER, POD, PROVIDER, Issuer
from local_server import RunningServer, running_server
from policies import Json, allow, document
from sessions import SessionClients, credentials_in, pod_of
from written_data import written_data

FEDERATED = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{PROVIDER}"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("issuer") / "jwks.json", time.time())  # noqa: TID251 - an issuer's clock


def settings_for(issuer: Issuer, folder: Path) -> Path:
    settings = folder / "strongroom.toml"
    settings.write_text(f'[[identity-providers]]\nissuer = "{ISSUER}"\njwks = "{issuer.jwks}"\n')
    return settings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server")
    settings = settings_for(issuer, folder)
    with running_server(folder / "data", folder / "log", "--config", str(settings)) as server:
        yield server
        assert server.stop() == 0
    log = (folder / "log").read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log


@pytest.fixture(scope="module")
def iam(server: RunningServer) -> IAMClient:
    return client_with(server, "iam", credentials_of(server))


@pytest.fixture(scope="module")
def pod(server: RunningServer) -> STSClient:
    return pod_of(server)


def trusts_tokens(provider: str = FEDERATED, **condition: Any) -> Json:
    statement: Json = {
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": "sts:AssumeRoleWithWebIdentity",
    }
    return statement | ({"Condition": condition} if condition else {})


def role_for(iam: IAMClient, *trust: Json) -> str:
    """Return the ARN of a new role that may use keys."""
    name = new_name("pod-role")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(*trust))["Role"]
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document(allow()))
    return made["Arn"]


def assumed(pod: STSClient, role: str, token: str, **more: Any) -> Any:
    return pod.assume_role_with_web_identity(RoleArn=role, RoleSessionName="checkout", WebIdentityToken=token, **more)


def refused(pod: STSClient, role: str, token: str, status: int = 400) -> dict[str, str]:
    request = {"RoleArn": role, "RoleSessionName": "checkout", "WebIdentityToken": token}
    return error_with_status(status, pod.assume_role_with_web_identity, **request)


@pytest.mark.parametrize("key_id", ["rsa", "ec"])
def test_a_pod_becomes_its_role(
    server: RunningServer, iam: IAMClient, pod: STSClient, issuer: Issuer, key_id: str
) -> None:
    role = role_for(iam, trusts_tokens())
    answer = assumed(pod, role, issuer.token(key_id), DurationSeconds=900)
    assert answer["SubjectFromWebIdentityToken"] == POD
    assert (answer["Provider"], answer["Audience"]) == (ISSUER, AUDIENCE)
    name = role.rpartition("/")[2]
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/checkout"
    assert answer["AssumedRoleUser"]["Arn"] == arn
    session = SessionClients(server, credentials_in(answer))
    assert session.sts.get_caller_identity()["Arn"] == arn
    session.kms.encrypt(KeyId=client_of(server).create_key()["KeyMetadata"]["KeyId"], Plaintext=b"x")


def test_the_sdk_finds_its_way_from_the_environment(
    server: RunningServer,
    iam: IAMClient,
    issuer: Issuer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the webhook of Kubernetes sets a pod up: a file with the token, and the role's ARN."""
    (tmp_path / "token").write_text(issuer.token())
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", role_for(iam, trusts_tokens()))
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    kms = boto3.Session(region_name="us-east-1").client("kms")
    assert kms.generate_random(NumberOfBytes=32)["Plaintext"]


def test_a_client_that_asks_for_json_and_adds_the_token_after_signing(
    server: RunningServer, iam: IAMClient, issuer: Issuer
) -> None:
    """As Kroxylicious does it: without an SDK, with Java's classes for JSON and a signer of its own."""
    asked = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleSessionName": "kroxylicious-1"}
    form = urlencode(asked | {"RoleArn": role_for(iam, trusts_tokens()), "WebIdentityToken": issuer.token()})
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    answer = send(server, Raw("POST", "/", headers, form.encode()))
    assert answer.status == 200
    reply = json.loads(answer.body)["AssumeRoleWithWebIdentityResponse"]["AssumeRoleWithWebIdentityResult"]
    made = reply["Credentials"]
    # Seconds since 1970, which Jackson reads as an Instant.
    assert 3500 < made["Expiration"] - time.time() <= 3600  # noqa: TID251 - a client's clock
    request = signed(server, credentials=Credentials(made["AccessKeyId"], made["SecretAccessKey"]))
    request.headers["X-Amz-Security-Token"] = made["SessionToken"]
    assert send(server, request).status == 200
    wrong = send(server, Raw("POST", "/", headers, form.replace("Token=ey", "Token=xx").encode()))
    assert (wrong.status, json.loads(wrong.body)["Error"]["Code"]) == (400, "InvalidIdentityToken")


@pytest.mark.parametrize(
    ("condition", "claims", "opens"),
    [
        ({"StringEquals": {f"{PROVIDER}:sub": POD}}, {}, True),
        ({"StringEquals": {f"{PROVIDER}:sub": POD}}, {"sub": POD + "2"}, False),
        ({"StringLike": {f"{PROVIDER}:sub": "system:serviceaccount:shop:*"}}, {}, True),
        ({"StringLike": {f"{PROVIDER}:sub": "system:serviceaccount:bank:*"}}, {}, False),
        ({"StringEquals": {f"{PROVIDER}:aud": AUDIENCE, f"{PROVIDER}:sub": POD}}, {}, True),
        ({"StringEquals": {f"{PROVIDER}:aud": "other"}}, {}, False),
        ({"ForAnyValue:StringEquals": {f"{PROVIDER}:groups": "admins"}}, {"groups": ["users", "admins"]}, True),
        ({"ForAnyValue:StringEquals": {f"{PROVIDER}:groups": "admins"}}, {"groups": ["users"]}, False),
        ({"StringEquals": {f"{PROVIDER}:sub": POD}, "Null": {"aws:PrincipalArn": "false"}}, {}, False),
        ({"Null": {"aws:MultiFactorAuthPresent": "true", "aws:TokenIssueTime": "true"}}, {}, True),
    ],
)
def test_claims_in_a_trust_policy(
    iam: IAMClient, pod: STSClient, issuer: Issuer, condition: Json, claims: Json, *, opens: bool
) -> None:
    role = role_for(iam, trusts_tokens(**condition))
    if opens:
        assumed(pod, role, issuer.token(**claims))
    else:
        assert refused(pod, role, issuer.token(**claims), 403) == {
            "Code": "AccessDenied",
            "Message": "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        }


def test_a_role_must_trust_the_issuer_in_its_own_account(iam: IAMClient, pod: STSClient, issuer: Issuer) -> None:
    named = f"arn:aws:iam::{ACCOUNT}:root"
    for trust in (
        trusts_tokens(f"arn:aws:iam::111122223333:oidc-provider/{PROVIDER}"),
        trusts_tokens(f"arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.example.com/id/OTHER"),
        {"Effect": "Allow", "Principal": {"AWS": named}, "Action": "sts:AssumeRoleWithWebIdentity"},
        {**trusts_tokens(), "Action": "sts:AssumeRole"},
    ):
        assert refused(pod, role_for(iam, trust), issuer.token(), 403)["Code"] == "AccessDenied"
    nobody = f"arn:aws:iam::{ACCOUNT}:role/nobody"
    assert refused(pod, nobody, issuer.token(), 403)["Code"] == "AccessDenied"


def test_tokens_that_are_refused(iam: IAMClient, pod: STSClient, issuer: Issuer) -> None:
    role = role_for(iam, trusts_tokens())
    soon = int(issuer.now) + 600
    for token, code, status in (
        (issuer.token(iss="https://evil.example"), "InvalidIdentityToken", 400),
        (issuer.token(aud="elsewhere"), "InvalidIdentityToken", 400),
        (issuer.token()[:-8] + "AAAAAAAA", "InvalidIdentityToken", 400),
        (issuer.token(nbf=soon), "InvalidIdentityToken", 400),
        (issuer.token(exp=int(issuer.now) - 120), "ExpiredTokenException", 400),
        (issuer.token(sub=None), "IDPRejectedClaim", 403),
        ("not a token", "InvalidIdentityToken", 400),
        (issuer.signed("{}", '{"iss": "\\ud800"}'), "InvalidIdentityToken", 400),
        ("eyJpc3MiOl" + "W1tb" * 4_000 + ".e30.e30", "InvalidIdentityToken", 400),
    ):
        assert refused(pod, role, token, status)["Code"] == code


def test_keys_that_are_gone_are_not_the_callers_fault(iam: IAMClient, pod: STSClient, issuer: Issuer) -> None:
    role = role_for(iam, trusts_tokens())
    token = issuer.token()
    issuer.jwks.unlink()
    assert refused(pod, role, token)["Code"] == "IDPCommunicationError"
    issuer.publish()
    assumed(pod, role, token)


def test_a_session_policy_narrows(server: RunningServer, iam: IAMClient, pod: STSClient, issuer: Issuer) -> None:
    role = role_for(iam, trusts_tokens())
    answer = assumed(pod, role, issuer.token(), Policy=document(allow(do="kms:GenerateRandom")))
    assert 0 < answer["PackedPolicySize"] < 100
    session = SessionClients(server, credentials_in(answer))
    session.kms.generate_random(NumberOfBytes=1)
    assert error_with_status(400, session.kms.list_keys)["Message"].endswith(
        "because no session policy allows the kms:ListKeys action"
    )


def test_the_records_name_the_issuer_and_hide_the_token(
    server: RunningServer, iam: IAMClient, pod: STSClient, issuer: Issuer
) -> None:
    role = role_for(iam, trusts_tokens())
    token = issuer.token()
    answer = assumed(pod, role, token)
    record = last_record(server)
    assert record["userIdentity"] == {
        "type": "WebIdentityUser",
        "principalId": f"{FEDERATED}:{AUDIENCE}:{POD}",
        "userName": POD,
        "identityProvider": FEDERATED,
    }
    assert record["requestParameters"] == {"roleArn": role, "roleSessionName": "checkout"}
    assert record["responseElements"] == {
        "credentials": {
            "accessKeyId": answer["Credentials"]["AccessKeyId"],
            "expiration": answer["Credentials"]["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
        "assumedRoleUser": {
            "assumedRoleId": answer["AssumedRoleUser"]["AssumedRoleId"],
            "arn": answer["AssumedRoleUser"]["Arn"],
        },
        "subjectFromWebIdentityToken": POD,
        "provider": ISSUER,
        "audience": AUDIENCE,
    }
    assert record["resources"] == [{"accountId": ACCOUNT, "type": "AWS::IAM::Role", "ARN": role}]
    assert record["recipientAccountId"] == ACCOUNT

    SessionClients(server, credentials_in(answer)).kms.list_keys()
    context = last_record(server)["userIdentity"]["sessionContext"]
    assert context["webIdFederationData"] == {"federatedProvider": FEDERATED, "attributes": {}}
    assert context["sessionIssuer"]["arn"] == role

    refused(pod, role, token[:-8] + "AAAAAAAA")
    assert last_record(server)["userIdentity"] == {"type": "WebIdentityUser"}
    data = data_of(server)
    for name, content in written_data(data):
        for secret in (
            token.split(".")[1],
            answer["Credentials"]["SessionToken"],
            answer["Credentials"]["SecretAccessKey"],
        ):
            assert secret.encode() not in content, name


def test_trust_that_was_taken_away_is_gone_on_every_worker(issuer: Issuer, tmp_path: Path) -> None:
    """Workers that get only unauthenticated calls see the change, too."""
    options = ("--config", str(settings_for(issuer, tmp_path)), "--workers", "3")
    with running_server(tmp_path / "data", tmp_path / "log", *options) as server:
        iam = client_with(server, "iam", credentials_of(server))
        pods = [pod_of(server) for _ in range(12)]
        role = role_for(iam, trusts_tokens())
        for pod in pods:
            assumed(pod, role, issuer.token())
        closed = document(trusts_tokens(StringEquals={f"{PROVIDER}:sub": "nobody"}))
        iam.update_assume_role_policy(RoleName=role.rpartition("/")[2], PolicyDocument=closed)
        for pod in pods:
            assert refused(pod, role, issuer.token(), 403)["Code"] == "AccessDenied"
        assert server.stop() == 0
