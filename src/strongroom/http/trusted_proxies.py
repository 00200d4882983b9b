"""Source addresses behind proxies: ``X-Forwarded-For`` is trusted from configured proxies only.

Each proxy appends the address it saw, so the list is read from its end, up to the first address that is no configured
proxy.
"""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from strongroom.http.message import HttpRequest

_MAPPED = "::ffff:"
"""The network of IPv4-mapped addresses, which a proxy that listens for both families may send (RFC 4291, 2.5.5.2)."""


class TrustedProxies:
    """The proxies in front of this server, as networks in CIDR notation; raises ValueError for anything else."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._is_ours = lru_cache(maxsize=1024)(self._contains)

    def origin(self, request: HttpRequest) -> tuple[str, bool]:
        """Return the source address of a request, and whether its client used TLS."""
        if not self._networks or not self._is_ours(request.peer):
            return request.peer, request.secure
        source = request.peer
        for hop in reversed(request.headers.get("x-forwarded-for", "").split(",")):
            address = hop.strip().removeprefix(_MAPPED)
            # The zone of an IPv6 address is any text of any length, and means nothing on another machine (RFC 4007, 6).
            if "%" in address or not _is_address(address):
                break
            source = address
            if not self._is_ours(address):
                break
        return source, request.headers.get("x-forwarded-proto", "").strip().lower() == "https"

    def _contains(self, address: str) -> bool:
        return _is_address(address) and any(ipaddress.ip_address(address) in network for network in self._networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
