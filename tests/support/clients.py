"""Clients of a running server: boto3, and signed requests that a test can change before they are sent."""

import configparser
import http.client
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, overload
from urllib.parse import urlsplit

import boto3
import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from mypy_boto3_iam.client import IAMClient
from mypy_boto3_kms.client import KMSClient
from mypy_boto3_sts.client import STSClient

from local_server import RunningServer

# No retries, so that each error is seen once; no client-side validation, so that the server validates.
ONCE = Config(retries={"total_max_attempts": 1}, parameter_validation=False)


class Answer(msgspec.Struct):
    """The HTTP response to one request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """The type of the error (``__type``)."""
        return str(json.loads(self.body)["__type"])

    @property
    def message(self) -> str:
        """The message of the error."""
        return str(json.loads(self.body)["message"])


class Raw(msgspec.Struct):
    """A request that has not been sent yet. Changing it after it was signed invalidates the signature."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def credentials_of(server: RunningServer, profile: str = "default") -> Credentials:
    """Return the access key of a profile in the credentials file; by default the root's."""
    profiles = configparser.RawConfigParser()
    profiles.read(server.environment["AWS_SHARED_CREDENTIALS_FILE"])
    return Credentials(profiles[profile]["aws_access_key_id"], profiles[profile]["aws_secret_access_key"])


def client_of(server: RunningServer, region: str = "us-east-1") -> KMSClient:
    """Return a boto3 client with the root access key."""
    return client_with(server, "kms", credentials_of(server), region)


@overload
def client_with(
    server: RunningServer, service: Literal["kms"], credentials: Credentials, region: str = ...
) -> KMSClient: ...
@overload
def client_with(
    server: RunningServer, service: Literal["iam"], credentials: Credentials, region: str = ...
) -> IAMClient: ...
@overload
def client_with(
    server: RunningServer, service: Literal["sts"], credentials: Credentials, region: str = ...
) -> STSClient: ...
def client_with(
    server: RunningServer,
    service: Literal["kms", "iam", "sts"],
    credentials: Credentials,
    region: str = "us-east-1",
) -> KMSClient | IAMClient | STSClient:
    """Return a boto3 client with an access key, or with a session if the credentials have a token."""
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=server.endpoint,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.token,
        config=ONCE,
    )


def response_members(answer: Any) -> dict[str, Any]:
    """Return the members of a boto3 response, without boto3's own ``ResponseMetadata``."""
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def signed(  # noqa: PLR0913 - one parameter for each input of a signature
    server: RunningServer,
    operation: str = "ListKeys",
    body: bytes = b"{}",
    *,
    region: str = "us-east-1",
    service: str = "kms",
    credentials: Credentials | None = None,
    at: datetime | None = None,
    more: Mapping[str, str] | None = None,
) -> Raw:
    """Return a request signed by botocore; ``more`` are further signed headers."""
    headers = {"X-Amz-Target": f"TrentService.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", server.endpoint + "/", headers | dict(more or {}), body)
    moment = at or datetime.now(UTC)  # noqa: TID251 - a client
    sign(request, credentials or credentials_of(server), service, region, moment)
    return Raw("POST", "/", dict(request.headers.items()), body)


def sign(request: AWSRequest, credentials: Credentials, service: str, region: str, at: datetime) -> None:
    """Sign a request with botocore, as of the time ``at``."""
    auth: Any = SigV4Auth(credentials, service, region)
    request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    if auth.credentials.token:
        request.headers["X-Amz-Security-Token"] = auth.credentials.token
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    auth._inject_signature_to_request(request, signature)


def send(server: RunningServer, request: Raw, change: Callable[[Raw], object] | None = None) -> Answer:
    """Send a request on a new connection, after applying ``change`` to it if given."""
    if change is not None:
        change(request)
    connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=120)
    try:
        connection.request(request.method, request.path, request.body, request.headers)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())
    finally:
        connection.close()
