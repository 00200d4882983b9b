"""Posts events to a URL, signed as standardwebhooks.com describes it, so that its libraries verify them.

The receiver gets the id of the event, the time of the attempt, and the HMAC-SHA256 of both and the body. Every answer
but 2xx is a failure; redirects are not followed.

Source: Standard Webhooks specification 1.0, "Signature scheme".
"""

import binascii
import hmac
import re
import ssl
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path

from strongroom import __version__
from strongroom.events.destination import DeliveryError
from strongroom.events.event import Event
from strongroom.http.outgoing import (
    BadAnswer,
    CannotConnect,
    Connections,
    Deadline,
    Endpoint,
    OutgoingError,
    TlsFailed,
    TooLate,
)
from strongroom.whole_files import read_regular

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64
"""The length of a secret in bytes (Standard Webhooks, "Signature scheme")."""
_MOST_SECRETS = 4
_HTTPS = 443
_SUCCESS = range(200, 300)


class SecretError(Exception):
    """The file with the secret of a webhook cannot be used; the message says why, and never what is in it."""


def read_secrets(path: Path) -> Sequence[bytes]:
    """Return the secrets in a file, one in each line; raises SecretError."""
    try:
        lines = read_regular(path).decode().split()
    except OSError as error:
        raise SecretError(f"`{path}` cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        lines = []
    found = [_decoded(each) for each in lines]
    if not 0 < len(found) <= _MOST_SECRETS or not all(_SHORTEST <= len(each) <= _LONGEST for each in found):
        raise SecretError(
            f"`{path}` is no secret: it must have a line of `whsec_` and base64 of {_SHORTEST} to {_LONGEST} bytes; "
            'make one with: echo "whsec_$(openssl rand -base64 32)"'
        )
    return found


def signature_of(secrets: Sequence[bytes], event_id: str, at: int, body: bytes) -> str:
    """Return the signatures of a body that is sent ``at`` (epoch seconds), one for each secret."""
    signed = f"{event_id}.{at}.".encode() + body
    return " ".join(f"v1,{b64encode(hmac.digest(each, signed, 'sha256')).decode()}" for each in secrets)


class WebhookDestination:
    """One URL. ``now`` returns epoch seconds; the secrets are read anew for each event, so they can be replaced."""

    def __init__(
        self,
        url: tuple[str, int, str],
        secret_file: Path,
        context: ssl.SSLContext,
        connections: Connections,
        now: Callable[[], float],
        deadline: Callable[[], Deadline],
    ) -> None:
        """Post to ``url``: host, port, and path with query. ``deadline`` begins when it is called."""
        self._host, self._port, self._target = url
        self._secret_file = secret_file
        self._endpoint = Endpoint(self._host, self._host, self._port, context)
        self._connections = connections
        self._now = now
        self._deadline = deadline

    def deliver(self, event: Event) -> None:
        """Post an event; raises DeliveryError."""
        try:
            secrets = read_secrets(self._secret_file)
        except SecretError as error:
            raise DeliveryError(str(error)) from None
        body, at = event.encode(), int(self._now())
        request = self._request(event.id, at, signature_of(secrets, event.id, at, body), body)
        try:
            answer = self._connections.exchange(self._endpoint, request, self._deadline())
        except OutgoingError as error:
            raise DeliveryError(f"{self._host}:{self._port} {_reason(error)}") from None
        if answer.status not in _SUCCESS:
            raise DeliveryError(f"{self._host}:{self._port} answers with {_status(answer.status)}")

    def close(self) -> None:
        """Close the connection."""
        self._connections.close()

    def _request(self, event_id: str, at: int, signature: str, body: bytes) -> bytes:
        name = f"[{self._host}]" if ":" in self._host else self._host
        head = (
            f"POST {self._target} HTTP/1.1\r\n"
            f"Host: {name if self._port == _HTTPS else f'{name}:{self._port}'}\r\n"
            f"User-Agent: strongroom/{__version__}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"webhook-id: {event_id}\r\n"
            f"webhook-timestamp: {at}\r\n"
            f"webhook-signature: {signature}\r\n\r\n"
        )
        return head.encode() + body


def _decoded(line: str) -> bytes:
    if not re.fullmatch(rf"{_PREFIX}[A-Za-z0-9+/]+={{0,2}}", line):
        return b""
    try:
        return b64decode(line.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        return b""


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _reason(error: OutgoingError) -> str:
    match error:
        case TooLate():
            return "has not answered within `time-limit`"
        case TlsFailed():
            return f"has no TLS that is accepted: {error}; see `ca` in `events`"
        case CannotConnect():
            return f"cannot be connected to: {error}"
        case BadAnswer():
            return f"does not answer in HTTP: {error}"
        case _:
            return f"does not answer: {error}"
