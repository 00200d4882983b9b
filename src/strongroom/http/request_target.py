"""The target of a request, the text between its method and its version (RFC 9112, 3.2).

Clients send a path (origin form). To a proxy they send a whole URL (absolute form), which a server has to accept, too:
the authority of the URL then takes the place of the Host header. A signature covers the path and the Host header, so
a client that signs has to send the same authority in both, as RFC 9112 obliges it to.
"""

import re

import msgspec

_ABSOLUTE = re.compile(
    r"(https?)://((?:[a-z0-9._~!$&'()*+,;=%-]+|\[[0-9a-f:.]+\])(?::[0-9]*)?)(/[^?#]*)?(?:\?([^#]*))?", re.IGNORECASE
)
"""Scheme, authority without a user, path, query. There is no fragment (RFC 9110, 4.2.4 and 4.2.5)."""
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class RequestTarget(msgspec.Struct, frozen=True):
    """What a request is for. ``authority`` is that of an absolute form, in the spelling for the Host header."""

    path: str
    query: str
    authority: str | None = None


def parse(target: str, host: str | None) -> RequestTarget | None:
    """Return a parsed request target, or None if it is malformed; ``host`` is the Host header of the request.

    The authority of CONNECT is malformed here: this server is no proxy.
    """
    if target.startswith("/") or target == "*":
        path, _, query = target.partition("?")
        return RequestTarget(path, query)
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        return None
    scheme, authority, path, query = found.groups()
    port = _DEFAULT_PORTS[scheme.lower()]
    # Signers leave out default ports. Another spelling of the same authority would break the signature.
    if host is not None and _plain(host, port) == _plain(authority, port):
        authority = host
    return RequestTarget(path or "/", query or "", authority)


def _plain(authority: str, default_port: str) -> str:
    """Return an authority in its normal form (RFC 9110, 4.2.3)."""
    return authority.lower().removesuffix(default_port).removesuffix(":")
