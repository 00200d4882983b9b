"""Presigned URLs of GetCallerIdentity, made by botocore, and requests for them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from clients import Raw
from strongroom.http.message import HttpRequest

IDENTITY = "Action=GetCallerIdentity&Version=2011-06-15"


def presigned_url(  # noqa: PLR0913 - one parameter for each input of a signature
    endpoint: str,
    credentials: Credentials,
    at: float,
    *,
    query: str = IDENTITY,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    region: str = "us-east-1",
    service: str = "sts",
    expires: int = 60,
) -> str:
    """Return a URL that botocore signed as of ``at``, in epoch seconds; ``headers`` are signed, too."""
    request = AWSRequest(method, f"{endpoint}/?{query}", dict(headers or {}))
    auth: Any = SigV4QueryAuth(credentials, service, region, expires=expires)
    moment = datetime.fromtimestamp(at, UTC)
    request.context["timestamp"] = moment.strftime("%Y%m%dT%H%M%SZ")
    auth._modify_request_before_signing(request)
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    auth._inject_signature_to_request(request, signature)
    return str(request.url)


def request_for(url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Raw:
    """Return the request for a URL, as a client without any knowledge of AWS sends it."""
    parts = urlsplit(url)
    return Raw(method, f"{parts.path}?{parts.query}", dict(headers or {}), b"")


def direct_request(url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> HttpRequest:
    """Return the same request for the gateway of a DirectClient."""
    parts = urlsplit(url)
    lower = {name.lower(): value for name, value in (headers or {}).items()} | {"host": parts.netloc}
    return HttpRequest(method, parts.path, parts.query, lower, b"", "127.0.0.1", secure=False)
