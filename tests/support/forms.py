"""Forms of the AWS Query protocol as nobody's client would send them, and what is refused of them."""

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

FORM = "application/x-www-form-urlencoded; charset=utf-8"
VERSION = {"iam": "2010-05-08", "sts": "2011-06-15"}
PATIENCE = 10.0
"""Seconds; everything here should take milliseconds."""


def encoded(service: str, action: str, fields: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return a form that calls an action."""
    return urlencode([("Action", action), ("Version", VERSION[service]), *fields]).encode()


def unsigned(body: bytes) -> Raw:
    """Return a form without a signature."""
    return Raw("POST", "/", {"Content-Type": FORM}, body)


def nobodys_login() -> Raw:
    """Return an AssumeRoleWithWebIdentity for a role that is not there, with a token that is none."""
    fields = [
        ("RoleArn", "arn:aws:iam::000000000000:role/none"),
        ("RoleSessionName", "one"),
        ("WebIdentityToken", "none"),
    ]
    return unsigned(encoded("sts", "AssumeRoleWithWebIdentity", fields))


def signed_form(
    server: RunningServer,
    service: str,
    body: bytes,
    *,
    content_type: str = FORM,
    credentials: Credentials | None = None,
) -> Raw:
    """Return a form signed for a service; as the root if no other credentials are given."""
    request = AWSRequest("POST", server.endpoint + "/", {"Content-Type": content_type}, body)
    now = datetime.now(UTC)  # noqa: TID251 - a client
    sign(request, credentials or credentials_of(server), service, "us-east-1", now)
    return Raw("POST", "/", dict(request.headers.items()), body)


def refusal(server: RunningServer, request: Raw, change: Callable[[Raw], object] | None = None) -> tuple[int, str, str]:
    """Send a request that must be refused soon, as AWS does it in XML; return status, code and message."""
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


def answered(server: RunningServer, request: Raw) -> Answer:
    """Send a request that must be answered."""
    answer = send(server, request)
    assert answer.status == 200, answer.body
    return answer
