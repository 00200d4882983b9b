"""Cross-origin resource sharing: which web pages may call this service from a browser, and read its answers.

Source: the Fetch Standard, "CORS protocol". The values are those of AWS's endpoints, but for the origins, which AWS
does not restrict. Cookies and other credentials of the browser are never allowed: callers are known by their signature.
"""

import re
from collections.abc import Sequence

from msgspec.structs import replace

from strongroom.api.reply import Reply
from strongroom.http.message import HttpRequest

ANY = "*"
_EXPOSED = "Access-Control-Expose-Headers: x-amzn-RequestId,x-amzn-ErrorType,x-amzn-ErrorMessage,Date\r\n"
_METHODS = "Access-Control-Allow-Methods: GET, POST\r\n"
_REMEMBERED = "Access-Control-Max-Age: 172800\r\n"
"""How many seconds a browser may remember the answer to a preflight; browsers limit it to hours."""
_VARY = "Vary: Origin\r\n"
_HEADER_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_MAX_HEADER_NAMES = 4096


class CrossOrigin:
    """The origins whose pages may call; ``*`` among them stands for all."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._any = ANY in origins
        self._origins = frozenset(origins)

    def preflight(self, request: HttpRequest, request_id: str) -> Reply | None:
        """Return the answer to a preflight, or None if the request is none, or comes from an origin not allowed.

        A browser asks before it sends a signature, so a preflight has none. Any header may be sent: which of them
        mean something, the signature decides.
        """
        headers = request.headers
        origin = headers.get("origin")
        is_preflight = request.method == "OPTIONS" and request.path == "/"
        if not is_preflight or "access-control-request-method" not in headers or not self._allows(origin):
            return None
        more = _METHODS + _REMEMBERED
        names = headers.get("access-control-request-headers", "")
        if len(names) <= _MAX_HEADER_NAMES and _HEADER_NAMES.fullmatch(names):
            more += f"Access-Control-Allow-Headers: {names}\r\n"
        return Reply(200, b"", "text/plain", request_id, more_headers=more)

    def marked(self, reply: Reply, headers: dict[str, str]) -> Reply:
        """Return a reply that a page of an allowed origin can read; ``headers`` are those of the request."""
        origin = headers.get("origin")
        allowed = ""
        if self._allows(origin):
            allowed = f"Access-Control-Allow-Origin: {ANY if self._any else origin}\r\n{_EXPOSED}"
        # Caches must not hand an answer for one origin to another (Fetch Standard, "CORS protocol and HTTP caches").
        vary = "" if self._any else _VARY
        return replace(reply, more_headers=reply.more_headers + allowed + vary)

    def _allows(self, origin: str | None) -> bool:
        return origin is not None and (self._any or origin in self._origins)
