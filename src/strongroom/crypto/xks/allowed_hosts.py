"""The hosts that this server may call as external key store proxies: those that the operator lists, and no others.

A caller of CreateCustomKeyStore chooses the name of a proxy. Without a list, this server would connect to every host
that is named, also behind the firewalls around it (server-side request forgery).
"""

import ssl
from collections.abc import Sequence
from pathlib import Path

from strongroom.http.outgoing import Endpoint
from strongroom.keys.custom_key_stores import XksProxy
from strongroom.keys.xks_failures import XksError, XksFailure
from strongroom.settings import SettingsError, XksProxyHost, address_of
from strongroom.whole_files import read_regular

_PORT = 443
_SUITES = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
"""Of TLS 1.2, those of the specification ("TLS"); those of TLS 1.3 are OpenSSL's."""


class AllowedHosts:
    """The endpoints that may be called, by host name. Safe to use from several threads.

    Certificates of authorities are read when they are first needed, because most processes call no proxy.
    """

    def __init__(self, hosts: Sequence[XksProxyHost], *, approved_only: bool = False) -> None:
        """Take the setting; raises SettingsError if it names a host twice.

        With ``approved_only``, offer a proxy no key exchange and no suite that is not approved (docs/FIPS.md).
        """
        self._approved_only = approved_only
        self._hosts: dict[str, XksProxyHost] = {}
        self._endpoints: dict[str, Endpoint] = {}
        for each in hosts:
            if each.host.lower() in self._hosts:
                raise SettingsError(f"xks-proxies has `{each.host}` twice")
            self._hosts[each.host.lower()] = each

    def load(self) -> None:
        """Read the certificates of all authorities that are named; raises SettingsError."""
        for name, host in self._hosts.items():
            self._endpoints[name] = self._made(name, host)

    def endpoint(self, proxy: XksProxy) -> Endpoint:
        """Return the endpoint of a proxy; raises XksError if its host may not be called."""
        name = proxy.uri_endpoint.removeprefix("https://").lower()
        found = self._endpoints.get(name)
        if found is not None:
            return found
        host = self._hosts.get(name)
        if host is None:
            raise XksError(XksFailure.UNREACHABLE, f"the setting xks-proxies does not list {name}")
        try:
            # Another thread may do the same: then both endpoints are good, and one is kept.
            return self._endpoints.setdefault(name, self._made(name, host))
        except SettingsError as error:
            raise XksError(XksFailure.TLS_FAILED, str(error)) from None

    def _made(self, name: str, host: XksProxyHost) -> Endpoint:
        at, port = (name, _PORT) if host.address is None else address_of(host.address)
        context = _context(host)
        if self._approved_only:
            context.set_ecdh_curve("prime256v1")
            if any("CHACHA20" in suite["name"] for suite in context.get_ciphers()):
                # Python cannot take a suite of TLS 1.3 away, but OpenSSL's configuration can.
                context.maximum_version = ssl.TLSVersion.TLSv1_2
        return Endpoint(name, at, port, context)


def _context(host: XksProxyHost) -> ssl.SSLContext:
    """Return a context that verifies chain and name, and shows the certificate that is set; raises SettingsError."""
    try:
        authorities = None if host.ca is None else read_regular(Path(host.ca)).decode()
        context = ssl.create_default_context(cadata=authorities)
    except (ssl.SSLError, ValueError):
        # First: an SSLError is an OSError.
        raise _unusable(host, "ca", host.ca, "is not a file of certificates (PEM)") from None
    except OSError as error:
        raise _unusable(host, "ca", host.ca, f"cannot be read: {error.strerror or error}") from None
    if host.cert is not None:
        try:
            # Without a password, OpenSSL would ask for it on the terminal.
            context.load_cert_chain(host.cert, host.key, password="")
        except ssl.SSLError:
            raise _unusable(host, "cert", host.cert, "has no certificate (PEM) for the private key") from None
        except OSError as error:
            raise _unusable(host, "cert or key", host.cert, f"cannot be read: {error.strerror or error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _unusable(host: XksProxyHost, name: str, file: str | None, why: str) -> SettingsError:
    return SettingsError(f"`{file}`, the {name} of `{host.host}` in xks-proxies, {why}")
