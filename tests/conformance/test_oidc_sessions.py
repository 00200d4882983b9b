"""The sessions that tokens of an account's own OpenID Connect providers open, and where the issuers' keys come from."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from mypy_boto3_iam.client import IAMClient
from mypy_boto3_sts.client import STSClient

from accounts import Account, data_of, last_record, settings_of, strongroom, succeed
from client_errors import error_with_status
from clients import client_with, credentials_of
from identities import ACCOUNT, iam_tags, new_name
from issuer_server import IssuerServer
from issuers import ISSUER, POD, PROVIDER, Issuer
from local_server import RunningServer, running_server
from policies import Json, document
from sessions import SessionClients, credentials_in, pod_of

FEDERATED = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{PROVIDER}"


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path / "jwks.json", time.time())  # noqa: TID251 - an issuer's clock


@pytest.fixture
def provider(iam: IAMClient) -> Iterator[str]:
    """Make the provider of the issuer, which accepts tokens for ``app``, and delete it after the test."""
    made = iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=["app"])
    yield made["OpenIDConnectProviderArn"]
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=made["OpenIDConnectProviderArn"])


@pytest.fixture(scope="module")
def pod(server: RunningServer) -> STSClient:
    return pod_of(server)


def set_keys(server: RunningServer, issuer: Issuer, *more: str) -> str:
    return succeed(data_of(server), "identity-provider", "keys", "set", ISSUER, str(issuer.jwks), *more)


def role_for(iam: IAMClient, provider: str = FEDERATED, **condition: Any) -> str:
    """Return the ARN of a new role that tokens of a provider may assume."""
    statement: Json = {
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": "sts:AssumeRoleWithWebIdentity",
    }
    trust = document(statement | ({"Condition": condition} if condition else {}))
    return iam.create_role(RoleName=new_name("pod-role"), AssumeRolePolicyDocument=trust)["Role"]["Arn"]


def assumed(pod: STSClient, role: str, token: str) -> Any:
    return pod.assume_role_with_web_identity(RoleArn=role, RoleSessionName="checkout", WebIdentityToken=token)


def refused(pod: STSClient, role: str, token: str, status: int = 400) -> dict[str, str]:
    request = {"RoleArn": role, "RoleSessionName": "checkout", "WebIdentityToken": token}
    return error_with_status(status, pod.assume_role_with_web_identity, **request)


def test_a_provider_from_its_creation_to_its_end(
    server: RunningServer, iam: IAMClient, pod: STSClient, issuer: Issuer
) -> None:
    role = role_for(iam, StringEquals={f"{PROVIDER}:aud": "app", f"{PROVIDER}:sub": POD})
    token = issuer.token(aud="app")
    assert refused(pod, role, token) == {
        "Code": "InvalidIdentityToken",
        "Message": f"No OpenIDConnect provider found in your account for {ISSUER}",
    }
    iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=["app"])
    assert refused(pod, role, token)["Message"].startswith("Couldn't retrieve verification key")
    assert set_keys(server, issuer) == f"The keys of {FEDERATED} are set.\n"
    answer = assumed(pod, role, token)
    assert (answer["Provider"], answer["Audience"]) == (ISSUER, "app")
    session = SessionClients(server, credentials_in(answer))
    name = role.rpartition("/")[2]
    assert session.sts.get_caller_identity()["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/checkout"
    assert last_record(server)["userIdentity"]["sessionContext"]["webIdFederationData"] == {
        "federatedProvider": FEDERATED,
        "attributes": {},
    }
    # Its trust policy decides, and its client ids are the audiences.
    for claims, status in (({"sub": POD + "2", "aud": "app"}, 403), ({"aud": "sts.amazonaws.com"}, 400)):
        refused(pod, role, issuer.token(**claims), status)
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=FEDERATED, ClientID="other")
    anyone = role_for(iam)
    assumed(pod, anyone, issuer.token(aud="other"))
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=FEDERATED, ClientID="other")
    assert refused(pod, anyone, issuer.token(aud="other"))["Message"] == "Incorrect token audience"
    # No new sessions once it is gone; the role, which still trusts it, waits for the next provider and its keys.
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=FEDERATED)
    assert refused(pod, role, token)["Message"].startswith("No OpenIDConnect provider found")
    iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=["app"])
    assert refused(pod, role, token)["Message"].startswith("Couldn't retrieve verification key")
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=FEDERATED)


def test_a_provider_is_trusted_in_its_own_account_only(
    server: RunningServer, away: Account, pod: STSClient, issuer: Issuer, provider: str
) -> None:
    set_keys(server, issuer)
    token = issuer.token(aud="app")
    for trusted in (provider, provider.replace(ACCOUNT, away.account)):
        assert refused(pod, role_for(away.iam, trusted), token)["Message"].startswith("No OpenIDConnect provider found")
    made = away.iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=["app"])["OpenIDConnectProviderArn"]
    role = role_for(away.iam, made)
    assert refused(pod, role, token)["Message"].startswith("Couldn't retrieve verification key")
    set_keys(server, issuer, "--account", away.account)
    assumed(pod, role, token)
    assert refused(pod, role_for(away.iam, provider), token, 403)["Code"] == "AccessDenied"
    away.iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=made)
    refused(pod, role, token)


def test_forged_tokens(server: RunningServer, iam: IAMClient, pod: STSClient, issuer: Issuer, provider: str) -> None:
    """Claims are compared by their exact names, whatever condition keys do."""
    set_keys(server, issuer)
    vault = "system:serviceaccount:bank:vault"
    role = role_for(iam, provider, StringEquals={f"{PROVIDER}:sub": vault})
    assert refused(pod, role, issuer.token(aud="app"), 403)["Code"] == "AccessDenied"
    for token in (
        issuer.token(aud="app", SUB=vault),
        issuer.token(aud="elsewhere", AUD="app"),
        issuer.signed('{"alg": "RS256", "kid": "rsa"}', '{"sub": "a", "sub": "b", "aud": "app"}'),
    ):
        assert refused(pod, role, token)["Code"] == "InvalidIdentityToken"
    mail = role_for(iam, provider, StringEquals={f"{PROVIDER}:email": "root@example.com"})
    assert refused(pod, mail, issuer.token(aud="app", EMAIL="root@example.com"), 403)["Code"] == "AccessDenied"
    assumed(pod, mail, issuer.token(aud="app", email="root@example.com"))


def test_keys_that_are_replaced(
    server: RunningServer, iam: IAMClient, pod: STSClient, issuer: Issuer, provider: str
) -> None:
    role, token = role_for(iam, provider), issuer.token("ec", aud="app")
    set_keys(server, issuer)
    assumed(pod, role, token)
    del issuer.keys["ec"]
    issuer.publish()
    set_keys(server, issuer)
    assert refused(pod, role, token)["Code"] == "InvalidIdentityToken"
    # The keys stay when the provider changes.
    iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=provider, Tags=iam_tags({"a": "b"}))
    assumed(pod, role, issuer.token("rsa", aud="app"))


@pytest.mark.usefixtures("provider")
def test_keys_that_cannot_be_set(server: RunningServer, issuer: Issuer, tmp_path: Path) -> None:
    data, wrong = data_of(server), tmp_path / "wrong.json"
    for content, why in (
        (b"{}", "Error: these are no keys of an identity provider: they are not a JWK Set"),
        (b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "private or secret key"),
        (b" " * 65_537, "more than 65536 bytes"),
        (b"\xff\xfe\x00", "it is not text"),
    ):
        wrong.write_bytes(content)
        done = strongroom(data, "identity-provider", "keys", "set", ISSUER, str(wrong))
        assert done.returncode != 0
        assert why in done.stderr
        assert "Traceback" not in done.stderr
    for url, account in ((ISSUER, "999900001111"), ("https://nobody.example", ACCOUNT), (PROVIDER, ACCOUNT)):
        done = strongroom(data, "identity-provider", "keys", "set", url, str(issuer.jwks), "--account", account)
        assert done.returncode == 1
        assert f"account {account} has no OpenID Connect provider for `{url}`" in done.stderr


def test_no_secret_of_a_token_is_kept(
    server: RunningServer, iam: IAMClient, pod: STSClient, issuer: Issuer, provider: str
) -> None:
    set_keys(server, issuer)
    token = issuer.token(aud="app")
    assumed(pod, role_for(iam, provider), token)
    assert token.split(".")[1] not in str(last_record(server))


# --- keys from the settings, on every worker


def test_keys_from_a_file_on_every_worker(issuer: Issuer, tmp_path: Path) -> None:
    settings = tmp_path / "strongroom.toml"
    settings.write_text(f'[[identity-provider-keys]]\nissuer = "{ISSUER}"\njwks = "{issuer.jwks}"\n')
    options = ("--config", str(settings), "--workers", "3")
    with running_server(tmp_path / "data", tmp_path / "log", *options) as server:
        iam = client_with(server, "iam", credentials_of(server))
        pods = [pod_of(server) for _ in range(9)]
        role, token = role_for(iam), issuer.token(aud="app")
        for each in pods:
            refused(each, role, token)
        iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=["app"])
        for each in pods:
            assumed(each, role, token)
        # Keys that are set come before those of the file, and are gone with the provider.
        stranger = Issuer(tmp_path / "stranger.json", issuer.now)
        set_keys(server, stranger)
        for each in pods:
            assert refused(each, role, token)["Code"] == "InvalidIdentityToken"
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=FEDERATED)
        for each in pods:
            assert refused(each, role, token)["Message"].startswith("No OpenIDConnect provider found")
        assert server.stop() == 0


def test_keys_from_the_issuer_itself(issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where the settings allow it; the server trusts whom its system trusts."""
    (tmp_path / "strongroom.toml").write_text("fetch-identity-provider-keys = true\n")
    options = ("--config", str(tmp_path / "strongroom.toml"), "--workers", "2")
    with IssuerServer(issuer, tmp_path) as source:
        monkeypatch.setenv("SSL_CERT_FILE", str(source.certificate))
        with running_server(tmp_path / "data", tmp_path / "log", *options) as server:
            iam, pod = client_with(server, "iam", credentials_of(server)), pod_of(server)
            arn = iam.create_open_id_connect_provider(Url=source.url, ClientIDList=["app"])["OpenIDConnectProviderArn"]
            assert source.asked == []
            role, token = role_for(iam, arn), issuer.token(iss=source.url, aud="app")
            assert assumed(pod, role, token)["Provider"] == source.url
            name = source.url.removeprefix("https://")
            assert arn == f"arn:aws:iam::{ACCOUNT}:oidc-provider/{name}"
            for subject, status in ((POD, None), ("other", 403)):
                narrow = role_for(iam, arn, StringEquals={f"{name}:sub": subject})
                if status is None:
                    assumed(pod, narrow, token)
                else:
                    refused(pod, narrow, token, status)
            forged = Issuer(tmp_path / "forged.json", issuer.now).token(iss=source.url, aud="app")
            assert refused(pod, role, forged)["Code"] == "InvalidIdentityToken"
            iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
            assert refused(pod, role, token)["Message"].startswith("No OpenIDConnect provider found")
            assert server.stop() == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_nothing_is_fetched_unless_that_is_allowed(
    iam: IAMClient, pod: STSClient, issuer: Issuer, tmp_path: Path
) -> None:
    with IssuerServer(issuer, tmp_path) as source:
        arn = iam.create_open_id_connect_provider(Url=source.url, ClientIDList=["app"])["OpenIDConnectProviderArn"]
        token = issuer.token(iss=source.url, aud="app")
        assert refused(pod, role_for(iam, arn), token)["Message"].startswith("Couldn't retrieve verification key")
        assert source.asked == []
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)


def test_keys_from_standard_input(server: RunningServer, issuer: Issuer, provider: str) -> None:
    command = [sys.executable, "-m", "strongroom", "identity-provider", "keys", "set", ISSUER, "-"]
    data, pasted = data_of(server), issuer.jwks.read_text()
    environment = {**os.environ, **settings_of.get(data, {})}
    command += ["--data", str(data)]
    done = run(command, input=pasted, capture_output=True, text=True, check=True, timeout=60, env=environment)
    assert done.stdout == f"The keys of {provider} are set.\n"
