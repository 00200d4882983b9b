"""Where a request comes from, when proxies stand in front: only what trusted ones appended is believed."""

import pytest

from strongroom.http.message import HttpRequest
from strongroom.http.trusted_proxies import TrustedProxies

OURS = ("10.0.0.0/8", "192.0.2.7/32", "fd00::/8")


def request_from(peer: str, *, secure: bool = False, **headers: str) -> HttpRequest:
    """Return a request; ``forwarded_for`` is X-Forwarded-For, and so on."""
    named = {f"x-{name.replace('_', '-')}": value for name, value in headers.items()}
    return HttpRequest("POST", "/", "", named, b"", peer, secure)


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "source"),
    [
        # As far as it goes through our own proxies, from the end.
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.1.1.1", "203.0.113.9"),
        ("192.0.2.7", " 203.0.113.9 ,10.1.1.1 , 10.2.2.2 ", "203.0.113.9"),
        ("fd00::1", "2001:db8::9, fd00::2", "2001:db8::9"),
        # What the client made up stands further left.
        ("10.0.0.1", "10.9.9.9, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "127.0.0.1, 203.0.113.9, 10.1.1.1", "203.0.113.9"),
        # Everybody is a proxy of ours: the first of them.
        ("10.0.0.1", "10.1.1.1, 10.2.2.2", "10.1.1.1"),
        # What is no address ends the search.
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, unknown, 10.1.1.1", "10.1.1.1"),
        ("10.0.0.1", "203.0.113.9:8080", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9,", "10.0.0.1"),
        # A stranger's word is worth nothing.
        ("203.0.113.1", "127.0.0.1", "203.0.113.1"),
        ("192.0.2.8", "127.0.0.1", "192.0.2.8"),
        ("2001:db8::1", "127.0.0.1", "2001:db8::1"),
        # A proxy that listens for both families may write IPv4 like this.
        ("10.0.0.1", "::ffff:203.0.113.9, ::ffff:10.1.1.1", "203.0.113.9"),
    ],
)
def test_the_source(peer: str, forwarded_for: str, source: str) -> None:
    assert TrustedProxies(OURS).origin(request_from(peer, forwarded_for=forwarded_for))[0] == source


def test_without_the_header_the_proxy_is_the_source() -> None:
    assert TrustedProxies(OURS).origin(request_from("10.0.0.1")) == ("10.0.0.1", False)


@pytest.mark.parametrize(
    ("peer", "secure", "proto", "shown"),
    [
        ("10.0.0.1", False, "https", True),
        ("10.0.0.1", False, " HTTPS ", True),
        ("10.0.0.1", True, "http", False),
        ("10.0.0.1", False, "https, http", False),
        ("10.0.0.1", False, "", False),
        ("203.0.113.1", False, "https", False),
        ("203.0.113.1", True, "http", True),
    ],
)
def test_whether_the_way_began_with_tls(peer: str, proto: str, *, secure: bool, shown: bool) -> None:
    request = request_from(peer, secure=secure, forwarded_proto=proto)
    assert TrustedProxies(OURS).origin(request)[1] is shown


def test_without_proxies_nothing_is_believed() -> None:
    request = request_from("10.0.0.1", forwarded_for="203.0.113.9", forwarded_proto="https")
    assert TrustedProxies(()).origin(request) == ("10.0.0.1", False)


@pytest.mark.parametrize("network", ["10.0.0.1/8", "proxy.example", ""])
def test_what_is_no_network(network: str) -> None:
    with pytest.raises(ValueError, match=r"does not appear to be|has host bits set"):
        TrustedProxies((network,))
