"""A small signed client over one kept connection: a tenth of boto3's cost, for tests that make many calls."""

import hmac
import http.client
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from botocore.credentials import Credentials

from clients import credentials_of
from local_server import RunningServer

PATIENCE = 60.0
"""Seconds that one reply may take, on a busy machine."""
_JSON = "application/x-amz-json-1.1"
_FORM = "application/x-www-form-urlencoded; charset=utf-8"
_VERSIONS = {"iam": "2010-05-08", "sts": "2011-06-15"}


class NoAnswer(Exception):
    """The server did not answer, so the outcome of the call is unknown."""


class CallRefused(Exception):
    """The server answered with an error. ``status`` and ``code`` are those of the reply."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code

    @property
    def outcome_unknown(self) -> bool:
        """Whether the call may have had its effect all the same: the fault is the server's."""
        return self.status >= 500


class KmsClient(Protocol):
    """What calls KMS and IAM, and raises CallRefused and NoAnswer."""

    request_id: str
    """The id of the last request that was answered."""

    def __call__(self, operation: str, **request: Any) -> dict[str, Any]: ...

    def query(self, service: str, action: str, **fields: str) -> str: ...

    def close(self) -> None: ...


class FastClient:
    """Calls KMS and IAM in one Region. One thread at a time may use it."""

    def __init__(
        self,
        server: RunningServer,
        credentials: Credentials | None = None,
        region: str = "us-east-1",
        *,
        patience: float = PATIENCE,
    ) -> None:
        """``patience`` is how many seconds one reply may take."""
        self._netloc = urlsplit(server.endpoint).netloc
        self._credentials = credentials or credentials_of(server)
        self._region = region
        self._connection = http.client.HTTPConnection(self._netloc, timeout=patience)
        self.request_id = ""
        """The id of the last request that was answered."""

    def __call__(self, operation: str, **request: Any) -> dict[str, Any]:
        """Call KMS; raises CallRefused and NoAnswer. Bytes are given, and returned, in Base64 as on the wire."""
        answer = self._send("kms", kms_headers(operation), json.dumps(request).encode())
        found: dict[str, Any] = json.loads(answer or b"{}")
        return found

    def query(self, service: str, action: str, **fields: str) -> str:
        """Call IAM or STS; return the XML of the answer. Raises CallRefused and NoAnswer."""
        body = urlencode({"Action": action, "Version": _VERSIONS[service], **fields}).encode()
        return self._send(service, {"content-type": _FORM}, body).decode()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send(self, service: str, headers: Mapping[str, str], body: bytes) -> bytes:
        try:
            scope = (self._region, service)
            signed = signed_headers(self._credentials, self._netloc, scope, headers, body)
            self._connection.request("POST", "/", body, signed)
            response = self._connection.getresponse()
            received = response.read()
        except (OSError, http.client.HTTPException) as error:
            # The next call begins with a new connection.
            self._connection.close()
            raise NoAnswer(repr(error)) from error
        self.request_id = response.headers.get("x-amzn-RequestId", "")
        if response.status != 200:
            raise _refusal(response.status, received)
        return received


def kms_headers(operation: str) -> dict[str, str]:
    """Return the headers of a call of KMS that say what is called."""
    return {"x-amz-target": f"TrentService.{operation}", "content-type": _JSON}


def signed_headers(
    credentials: Credentials, netloc: str, scope: tuple[str, str], headers: Mapping[str, str], body: bytes
) -> dict[str, str]:
    """Return the headers with a signature of now (AWS General Reference, Signature Version 4).

    ``scope`` is the Region and the service, ``netloc`` the host and its port.
    """
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")  # noqa: TID251 - a client
    token = {"x-amz-security-token": credentials.token} if credentials.token else {}
    signed = dict(sorted({**headers, **token, "host": netloc, "x-amz-date": now}.items()))
    names, place = ";".join(signed), f"{now[:8]}/{'/'.join(scope)}/aws4_request"
    lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
    canonical = f"POST\n/\n\n{lines}\n{names}\n{sha256(body).hexdigest()}"
    text = f"AWS4-HMAC-SHA256\n{now}\n{place}\n{sha256(canonical.encode()).hexdigest()}"
    key = _signing_key(str(credentials.secret_key), place)
    signature = hmac.new(key, text.encode(), sha256).hexdigest()
    credential = f"Credential={credentials.access_key}/{place}"
    return {**signed, "authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"}


@lru_cache(maxsize=64)
def _signing_key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), sha256).digest()
    return key


def _refusal(status: int, body: bytes) -> CallRefused:
    if body.startswith(b"{"):
        told = json.loads(body)
        return CallRefused(status, told.get("__type", ""), told.get("message", ""))
    text = body.decode(errors="replace")
    return CallRefused(status, text.partition("<Code>")[2].partition("</Code>")[0], text)
