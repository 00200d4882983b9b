"""The source of a request behind proxies: only entries that trusted proxies appended are used."""

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
        # The last address that is not a trusted proxy.
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.1.1.1", "203.0.113.9"),
        ("192.0.2.7", " 203.0.113.9 ,10.1.1.1 , 10.2.2.2 ", "203.0.113.9"),
        ("fd00::1", "2001:db8::9, fd00::2", "2001:db8::9"),
        # Addresses that the client invented are further left.
        ("10.0.0.1", "10.9.9.9, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "127.0.0.1, 203.0.113.9, 10.1.1.1", "203.0.113.9"),
        # All are trusted proxies: the first of them.
        ("10.0.0.1", "10.1.1.1, 10.2.2.2", "10.1.1.1"),
        # An invalid address ends the search.
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, unknown, 10.1.1.1", "10.1.1.1"),
        ("10.0.0.1", "203.0.113.9:8080", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9,", "10.0.0.1"),
        # A zone can be any text, of any length.
        ("10.0.0.1", "fe80::1%eth0", "10.0.0.1"),
        ("10.0.0.1", "2001:db8::9%any text here, 10.1.1.1", "10.1.1.1"),
        ("10.0.0.1", f"fd00::2%{'x' * 30_000}", "10.0.0.1"),
        # That of a peer is not: the kernel has it.
        ("fd00::1%eth0", "203.0.113.9", "203.0.113.9"),
        # A peer that is no trusted proxy is the source, whatever its header says.
        ("203.0.113.1", "127.0.0.1", "203.0.113.1"),
        ("192.0.2.8", "127.0.0.1", "192.0.2.8"),
        ("2001:db8::1", "127.0.0.1", "2001:db8::1"),
        # A proxy with a dual-stack socket may write IPv4 addresses like this.
        ("10.0.0.1", "::ffff:203.0.113.9, ::ffff:10.1.1.1", "203.0.113.9"),
    ],
)
def test_the_source_is_the_last_address_before_our_proxies(peer: str, forwarded_for: str, source: str) -> None:
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
def test_a_trusted_proxy_tells_whether_the_client_used_tls(peer: str, proto: str, *, secure: bool, shown: bool) -> None:
    request = request_from(peer, secure=secure, forwarded_proto=proto)
    assert TrustedProxies(OURS).origin(request)[1] is shown


def test_without_trusted_proxies_the_headers_are_ignored() -> None:
    request = request_from("10.0.0.1", forwarded_for="203.0.113.9", forwarded_proto="https")
    assert TrustedProxies(()).origin(request) == ("10.0.0.1", False)


@pytest.mark.parametrize("network", ["10.0.0.1/8", "proxy.example", ""])
def test_an_invalid_network_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match=r"does not appear to be|has host bits set"):
        TrustedProxies((network,))
