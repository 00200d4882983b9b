"""Which requests may come from a page in a browser. A development server answers none of them.

Its access key can be a published one, so a signature proves little. A page on this machine can reach a server that only
this machine can reach: from another origin, or from its own one, whose name it has resolve to this machine (DNS
rebinding). The first kind has the header Origin (RFC 6454, 7.3), the second has the name of the page in Host.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address

_PORT = re.compile(r":[0-9]*\Z")
_OWN_NAMES = ("localhost", "host.docker.internal")
"""Names that no page has: of this machine (RFC 6761, 6.3), and of the machine of a container of Docker Desktop."""


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a server that listens on a host."""
    return host == "localhost" or _is_loopback_address(host)


def why_refused(headers: Mapping[str, str], *, loopback: bool) -> str | None:
    """Return why a request is refused that may be one of a page; None for any other.

    Behind a ``loopback`` address, clients name the server by an address or by a name of this machine. Elsewhere it has
    names that only its network knows.
    """
    if "origin" in headers:
        return "pages in browsers may not use this server: the request has the header Origin"
    name = _PORT.sub("", headers.get("host", "localhost")).rstrip(".").lower()
    if not loopback or name in _OWN_NAMES or name.endswith(".localhost") or _is_address(name):
        return None
    return f"the header Host is {name[:64]!a}, which a page may have chosen: use an address, or localhost"


def _is_address(name: str) -> bool:
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _is_loopback_address(host: str) -> bool:
    return _is_address(host) and ip_address(host).is_loopback
