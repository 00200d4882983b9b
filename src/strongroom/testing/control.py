"""Requests to the control interface of a development server."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

_PREFIX = "/_strongroom/dev"
_TIMEOUT = 120.0
"""How long an answer may take, seconds: to let a hundred years pass, a server needs some time."""


class ControlError(Exception):
    """The server did not do what was asked for, or could not be reached; the message says why."""


class Control:
    """Asks the server at a URL. Each request has a connection of its own, which goes through no proxy."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Return what there is at a path; raises ControlError."""
        return self._ask("GET", path, None)

    def post(self, path: str, parameters: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Have something done, and return the answer; raises ControlError."""
        return self._ask("POST", path, json.dumps({} if parameters is None else parameters))

    def _ask(self, method: str, path: str, body: str | None) -> Any:  # noqa: ANN401 - JSON
        connection = HTTPConnection(self._address.hostname or "", self._address.port, timeout=_TIMEOUT)
        try:
            connection.request(method, _PREFIX + path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException) as error:
            raise ControlError(f"the server at {self._address.geturl()} does not answer: {error}") from None
        finally:
            connection.close()
        return _content(answer.status, text)


def _content(status: int, text: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        found = json.loads(text)
    except ValueError:
        raise ControlError(f"the server is no development server: it answered {status}") from None
    if status != HTTPStatus.OK:
        said = found.get("error") or found.get("message") or found.get("__type")
        raise ControlError(f"the server answered {status}: {said}")
    return found
