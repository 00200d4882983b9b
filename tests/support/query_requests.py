"""Requests of the AWS Query protocol, including malformed ones that no client would send, and their XML errors."""

import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from urllib.parse import urlencode

from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from clients import Answer, Raw, credentials_of, send, sign
from local_server import RunningServer

QUERY_CONTENT_TYPE = "application/x-www-form-urlencoded; charset=utf-8"
VERSION = {"iam": "2010-05-08", "sts": "2011-06-15"}
PATIENCE = 10.0
"""Seconds that a response may take; it should take milliseconds."""


def query_body(service: str, action: str, fields: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return a form-encoded body that calls an action."""
    return urlencode([("Action", action), ("Version", VERSION[service]), *fields]).encode()


def unsigned_query(body: bytes) -> Raw:
    """Return a request without a signature."""
    return Raw("POST", "/", {"Content-Type": QUERY_CONTENT_TYPE}, body)


def unauthenticated_login() -> Raw:
    """Return an unsigned AssumeRoleWithWebIdentity for a role that does not exist, with an invalid token."""
    fields = [
        ("RoleArn", "arn:aws:iam::000000000000:role/none"),
        ("RoleSessionName", "one"),
        ("WebIdentityToken", "none"),
    ]
    return unsigned_query(query_body("sts", "AssumeRoleWithWebIdentity", fields))


def signed_query(
    server: RunningServer,
    service: str,
    body: bytes,
    *,
    content_type: str = QUERY_CONTENT_TYPE,
    credentials: Credentials | None = None,
) -> Raw:
    """Return a request signed for a service; by default with the root's access key."""
    request = AWSRequest("POST", server.endpoint + "/", {"Content-Type": content_type}, body)
    now = datetime.now(UTC)  # noqa: TID251 - a client
    sign(request, credentials or credentials_of(server), service, "us-east-1", now)
    return Raw("POST", "/", dict(request.headers.items()), body)


def query_error(
    server: RunningServer, request: Raw, change: Callable[[Raw], object] | None = None
) -> tuple[int, str, str]:
    """Send a request that must be refused, quickly, with an XML error; return its status, code and message."""
    started = time.monotonic()
    answer = send(server, request, change)
    assert time.monotonic() - started < PATIENCE
    assert answer.headers["content-type"] == "text/xml"
    root = ET.fromstring(answer.body)  # noqa: S314 - our own server's answer
    namespace = re.match(r"\{https://(iam|sts)\.amazonaws\.com/doc/[0-9-]{10}/\}", root.tag)
    assert namespace is not None
    found = {each.tag.removeprefix(namespace[0]): each.text or "" for each in root.iter()}
    assert root.tag.endswith("}ErrorResponse")
    assert found["RequestId"] == answer.headers["x-amzn-requestid"]
    assert found["Type"] == "Sender"
    return answer.status, found["Code"], found["Message"]


def successful_answer(server: RunningServer, request: Raw) -> Answer:
    """Send a request that must succeed; return the response."""
    answer = send(server, request)
    assert answer.status == 200, answer.body
    return answer
