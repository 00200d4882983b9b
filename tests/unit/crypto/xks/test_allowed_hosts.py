"""The hosts that the operator lists."""

import socket
import ssl
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from strongroom.crypto.xks.allowed_hosts import AllowedHosts
from strongroom.crypto.xks.signature import ProxyCredential, signed_request
from strongroom.http.outgoing import CannotConnect, Connections, Deadline, TlsFailed
from strongroom.keys.custom_key_stores import XksProxy, XksProxyConnectivity
from strongroom.keys.xks_failures import XksError, XksFailure
from strongroom.settings import SettingsError, XksProxyHost
from strongroom.settings_sources import load
from xks_stub import XksStub, named_certificate

CREDENTIAL = ProxyCredential("A" * 20, "s" * 43)
"""One that no proxy knows."""


def proxy(endpoint: str) -> XksProxy:
    return XksProxy(
        connectivity=XksProxyConnectivity.PUBLIC_ENDPOINT, access_key_id="A", uri_endpoint=endpoint, uri_path="/"
    )


def test_a_listed_host_is_found_in_any_case_at_its_address(tmp_path: Path) -> None:
    authority = named_certificate(tmp_path, "authority")
    hosts = AllowedHosts(
        (
            XksProxyHost("Proxy.example.com"),
            XksProxyHost("other.example.com", "10.0.0.1:8443", str(authority.certificate)),
        )
    )
    found = hosts.endpoint(proxy("https://pROXY.example.com"))
    assert (found.name, found.host, found.port) == ("proxy.example.com", "proxy.example.com", 443)
    other = hosts.endpoint(proxy("https://other.example.com"))
    assert (other.name, other.host, other.port) == ("other.example.com", "10.0.0.1", 8443)
    assert len(other.context.get_ca_certs()) == 1
    for each in (found, other):
        assert each.context.verify_mode is ssl.CERT_REQUIRED
        assert each.context.check_hostname
        assert each.context.minimum_version is ssl.TLSVersion.TLSv1_2
    older = {suite["name"] for suite in found.context.get_ciphers() if suite["protocol"] == "TLSv1.2"}
    assert older == {"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"}


def test_a_certificate_is_shown_to_a_proxy_that_asks_for_one(tmp_path: Path) -> None:
    served, shown = named_certificate(tmp_path, "proxy"), named_certificate(tmp_path, "client")
    with XksStub(served) as stub:
        stub.context.verify_mode = ssl.CERT_REQUIRED
        stub.context.load_verify_locations(shown.certificate)
        for host, answers in (
            (replace(stub.hosts[0], cert=str(shown.certificate), key=str(shown.key)), True),
            (replace(stub.hosts[0], cert=str(served.certificate), key=str(served.key)), False),
            (stub.hosts[0], False),
        ):
            where = AllowedHosts((host,)).endpoint(proxy("https://proxy.example.com"))
            connections = Connections(time.perf_counter)
            request = signed_request(where.name, "/kms/xks/v1/health", b"", CREDENTIAL, "us-east-1", 1_790_000_000.0)
            if answers:
                assert connections.exchange(where, request, Deadline(time.perf_counter, 10)).status == 401
            else:
                # In TLS 1.3 a client learns of it when it reads, or finds the connection closed when it writes.
                with pytest.raises((TlsFailed, CannotConnect)):
                    connections.exchange(where, request, Deadline(time.perf_counter, 10))
            connections.close()
    for cert, key in (
        (shown.certificate, served.key),
        (tmp_path / "absent.pem", shown.key),
        (shown.key, shown.key),
    ):
        hosts = AllowedHosts((XksProxyHost("proxy.example.com", cert=str(cert), key=str(key)),))
        with pytest.raises(SettingsError, match=f"`{cert}`, the cert.* of `proxy.example.com` in xks-proxies"):
            hosts.load()


def test_with_fips_nothing_is_offered_that_is_not_approved(tmp_path: Path) -> None:
    pair = named_certificate(tmp_path, "proxy")
    with XksStub(pair) as stub:
        endpoint = AllowedHosts(stub.hosts, approved_only=True).endpoint(proxy("https://proxy.example.com"))
        where = (endpoint.host, endpoint.port)
        with (
            socket.create_connection(where) as plain,
            endpoint.context.wrap_socket(plain, server_hostname=endpoint.name) as secure,
        ):
            suite = secure.cipher()
            assert suite is not None
            assert "CHACHA20" not in suite[0]
        # A proxy without P-256 has nothing in common.
        stub.context.set_ecdh_curve("secp384r1")
        with socket.create_connection(where) as plain, pytest.raises(ssl.SSLError):
            endpoint.context.wrap_socket(plain, server_hostname=endpoint.name)


@pytest.mark.parametrize("endpoint", ["https://example.com", "https://proxy.example.com.", "https://127.0.0.1"])
def test_no_other_host_may_be_called(endpoint: str) -> None:
    for hosts in (AllowedHosts(()), AllowedHosts((XksProxyHost("proxy.example.com"),))):
        with pytest.raises(XksError, match="the setting xks-proxies does not list") as refused:
            hosts.endpoint(proxy(endpoint))
        assert refused.value.failure is XksFailure.UNREACHABLE


def test_an_operators_mistakes_are_named(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    for file in (nonsense, tmp_path / "absent.pem", tmp_path):
        hosts = AllowedHosts((XksProxyHost("proxy.example.com", ca=str(file)),))
        with pytest.raises(SettingsError, match=r"the ca of `proxy.example.com` in xks-proxies") as refused:
            hosts.load()
        # A file that was good at the start.
        with pytest.raises(XksError) as failed:
            hosts.endpoint(proxy("https://proxy.example.com"))
        assert failed.value.failure is XksFailure.TLS_FAILED
        assert str(file) in str(refused.value)
        assert "\n" not in str(refused.value)
    with pytest.raises(SettingsError, match="xks-proxies has `PROXY` twice"):
        AllowedHosts((XksProxyHost("proxy"), XksProxyHost("PROXY")))
    for line, says in {
        'host = "proxy.example.com:8443"': "xks-proxies",
        'host = "p.example.com"\naddress = "10.0.0.1"': "`address` of `p.example.com` in `xks-proxies` must be",
        'host = "p.example.com"\nport = 1': "port",
        'host = "p.example.com"\nkey = "key.pem"': "`p.example.com` in `xks-proxies` needs both `cert` and `key`",
    }.items():
        with pytest.raises(SettingsError, match=says):
            load(f"[[xks-proxies]]\n{line}\n", {}, {})
