"""Who a caller is, shown to a third party: presigned URLs and forwarded requests, as login services use them."""

import base64
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.awsrequest import AWSRequest

from clients import Raw, client_with, credentials_of, send, sign
from identities import ACCOUNT, Identities
from local_server import RunningServer
from policies import allow
from presigned_urls import presigned_url, request_for
from query_requests import QUERY_CONTENT_TYPE, query_body, unauthenticated_login
from sessions import credentials_in

ROOT = f"arn:aws:iam::{ACCOUNT}:root"
JSON = {"Accept": "application/json"}
AWS = Path(sys.executable).with_name("aws")


def now() -> float:
    return time.time()  # noqa: TID251 - a client


def identity_of(server: RunningServer, request: Raw) -> dict[str, Any]:
    """Send a request that asks for JSON, as aws-iam-authenticator does; return the caller."""
    answer = send(server, request, lambda each: each.headers.update(JSON))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    found = json.loads(answer.body)["GetCallerIdentityResponse"]
    assert found["ResponseMetadata"] == {"RequestId": answer.headers["x-amzn-requestid"]}
    result: dict[str, Any] = found["GetCallerIdentityResult"]
    return result


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_url_of_boto3(server: RunningServer, method: str) -> None:
    sts = client_with(server, "sts", credentials_of(server))
    url = sts.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod=method)
    answer = send(server, request_for(url, method=method))
    assert answer.status == 200
    assert f"<Arn>{ROOT}</Arn>".encode() in answer.body
    identity = identity_of(server, request_for(url, method=method))
    assert identity == {"UserId": ACCOUNT, "Account": ACCOUNT, "Arn": ROOT}


def test_a_token_for_kubernetes_made_by_the_aws_cli(server: RunningServer, tmp_path: Path) -> None:
    environment = server.environment | {"AWS_STS_REGIONAL_ENDPOINTS": "regional"}
    command = [str(AWS), "eks", "get-token", "--cluster-name", "blue", "--region", "us-east-1"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    version, _, token = json.loads(done.stdout)["status"]["token"].partition(".")
    assert version == "k8s-aws-v1"
    url = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    assert urlsplit(url).netloc == urlsplit(server.endpoint).netloc
    assert identity_of(server, request_for(url, {"x-k8s-aws-id": "blue"}))["Arn"] == ROOT
    # A cluster cannot use what was meant for another.
    assert send(server, request_for(url, {"x-k8s-aws-id": "green"})).status == 403


def test_a_url_of_a_role_session(server: RunningServer, identities: Identities) -> None:
    user = identities.user(allow(do="sts:AssumeRole"))
    role = identities.role(user.arn)
    made = client_with(server, "sts", user.credentials).assume_role(RoleArn=role["Arn"], RoleSessionName="one")
    url = presigned_url(server.endpoint, credentials_in(made), now())
    assert identity_of(server, request_for(url))["Arn"] == made["AssumedRoleUser"]["Arn"]


def test_a_signed_request_that_a_login_service_forwards(server: RunningServer) -> None:
    headers = {"Content-Type": QUERY_CONTENT_TYPE, "X-Vault-AWS-IAM-Server-ID": "vault.example.com"}
    body = query_body("sts", "GetCallerIdentity")
    request = AWSRequest("POST", f"{server.endpoint}/", headers, body)
    sign(request, credentials_of(server), "sts", "us-east-1", datetime.fromtimestamp(now(), UTC))
    forwarded = Raw("POST", "/", dict(request.headers.items()), body)
    assert identity_of(server, forwarded)["Arn"] == ROOT
    forwarded.headers["X-Vault-AWS-IAM-Server-ID"] = "another.example.com"
    assert send(server, forwarded).status == 403


def test_an_error_in_json(server: RunningServer) -> None:
    url = presigned_url(server.endpoint, credentials_of(server), now() - 1000)
    answer = send(server, request_for(url, JSON))
    assert (answer.status, answer.headers["content-type"]) == (403, "application/json")
    error = json.loads(answer.body)
    assert (error["Error"]["Code"], error["Error"]["Type"]) == ("SignatureDoesNotMatch", "Sender")
    assert error["Error"]["Message"].startswith("Signature expired: ")
    assert error["RequestId"] == answer.headers["x-amzn-requestid"]
    login = send(server, unauthenticated_login(), lambda request: request.headers.update(JSON))
    assert json.loads(login.body)["Error"]["Code"] == "InvalidIdentityToken"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/json", "application/json"),
        ("Application/JSON; q=0.9, text/plain, */*", "application/json"),
        ("*/*", "text/xml"),
        ("text/xml, application/json", "text/xml"),
        ("application/jsonx", "text/xml"),
        ("", "text/xml"),
    ],
)
def test_json_is_for_clients_that_prefer_it(server: RunningServer, accept: str, content_type: str) -> None:
    url = presigned_url(server.endpoint, credentials_of(server), now())
    answer = send(server, request_for(url, {"Accept": accept}))
    assert (answer.status, answer.headers["content-type"]) == (200, content_type)
