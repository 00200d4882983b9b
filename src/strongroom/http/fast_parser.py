"""Parses the requests that AWS clients usually send, at a third of the cost of the general parser.

Only requests with one possible meaning are parsed here: a whole ``POST /`` of HTTP/1.1 that arrived in one piece and is
followed by nothing, with a body, with well-formed header lines (RFC 9110, 5.5 and 5.6.2), each name once, a
Content-Length that is exactly the body's, and none of the headers that change how a message is read. All others go to
the general parser. A property test checks that the two parsers agree.
"""

import re

from strongroom.bounded_cache import put
from strongroom.http.framing import EMPTY_LINE_SIZE

_REQUEST_LINE = b"POST / HTTP/1.1\r\n"
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)")
_REMEMBERED = frozenset(
    {
        *("host", "accept", "accept-encoding", "user-agent", "connection", "content-type", "content-length"),
        *("x-amz-date", "x-amz-target", "amz-sdk-request"),
    }
)
"""Headers that clients send unchanged with every call. None of them is secret."""
_NOT_PLAIN = frozenset({"transfer-encoding", "upgrade", "expect", "te", "trailer", "proxy-connection"})
_SIGNATURE = 64
"""The length of a signature, at the end of an Authorization header.

The text before it is also the same in many calls.
"""
_MAX_HEADERS = 50
_MAX_LINES = 1024
_MAX_LINE = 512


class FastParser:
    """Reads plain requests with heads of at most ``max_head`` bytes and bodies of at most ``max_body``."""

    def __init__(self, max_head: int, max_body: int) -> None:
        self._max_head = max_head
        self._max_body = max_body
        self._known: dict[bytes, tuple[str, str]] = {}
        self._signers: dict[bytes, str] = {}

    def read(self, data: bytes) -> tuple[dict[str, str], bytes] | None:
        """Return the headers, by their lower-case names, and the body; None if this is not one whole plain request."""
        if not data.startswith(_REQUEST_LINE):
            return None
        head, _, body = data.partition(b"\r\n\r\n")
        # Many clients send the body in a separate segment, after the head.
        if not body or len(head) + EMPTY_LINE_SIZE > self._max_head or len(body) > self._max_body:
            return None
        lines = head.split(b"\r\n")
        if len(lines) > _MAX_HEADERS:
            return None
        del lines[0]
        headers: dict[str, str] = {}
        known = self._known
        for line in lines:
            header = known.get(line) or self._header(line)
            if header is None:
                return None
            headers[header[0]] = header[1]
        plain = len(headers) == len(lines) and headers.get("content-length") == str(len(body))
        return (headers, body) if plain else None

    def _header(self, line: bytes) -> tuple[str, str] | None:
        """Return name and value of a header line; None for one that is malformed, or makes the request not plain."""
        start, signature = line[:-_SIGNATURE], line[-_SIGNATURE:]
        signer = self._signers.get(start)
        if signer is not None and signature.isalnum():
            return "authorization", signer + signature.decode("ascii")
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        # Latin-1 keeps every byte, so that the signature is checked over what was sent.
        name, value = found[1].decode("latin-1").lower(), found[2].decode("latin-1").strip(" \t")
        if name in _NOT_PLAIN or (name == "connection" and value.lower() != "keep-alive"):
            return None
        if len(line) <= _MAX_LINE:
            if name in _REMEMBERED:
                put(self._known, line, (name, value), _MAX_LINES)
            elif name == "authorization" and signature.isalnum() and len(value) > _SIGNATURE:
                put(self._signers, start, value[:-_SIGNATURE], _MAX_LINES)
        return name, value
