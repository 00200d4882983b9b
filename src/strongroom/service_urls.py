"""URLs of services, and whether secrets may be sent to them."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_confidential(url: str) -> bool:
    """Tell whether what is sent to a service crosses no network as plaintext: it has TLS, or is on this machine.

    Raises ValueError unless it is an HTTP URL with a host.
    """
    parts = urlsplit(url)
    scheme, host, _ = parts.scheme, parts.hostname, parts.port
    if not host or scheme not in {"http", "https"}:
        raise ValueError("no URL of a service")
    return scheme == "https" or _is_this_machine(host)


def _is_this_machine(host: str) -> bool:
    """Tell whether a host is this machine, whatever a name server says.

    So names below `localhost` are not: the C library asks name servers for them, which may be others' (RFC 6761,
    section 6.3, only tells programs that they should not).
    """
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
