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
    """The endpoints that may be called, by host name."""

    def __init__(self, hosts: Sequence[XksProxyHost]) -> None:
        """Read the certificates of the authorities that are named; raises SettingsError."""
        self._endpoints: dict[str, Endpoint] = {}
        for each in hosts:
            name = each.host.lower()
            if name in self._endpoints:
                raise SettingsError(f"xks-proxies has `{each.host}` twice")
            host, port = (name, _PORT) if each.address is None else address_of(each.address)
            self._endpoints[name] = Endpoint(name, host, port, _context(each))

    def endpoint(self, proxy: XksProxy) -> Endpoint:
        """Return the endpoint of a proxy; raises XksError if its host may not be called."""
        name = proxy.uri_endpoint.removeprefix("https://").lower()
        found = self._endpoints.get(name)
        if found is None:
            raise XksError(XksFailure.UNREACHABLE, f"the setting xks-proxies does not list {name}")
        return found


def _context(host: XksProxyHost) -> ssl.SSLContext:
    """Return a context that verifies chain and name."""
    try:
        authorities = None if host.ca is None else read_regular(Path(host.ca)).decode()
        context = ssl.create_default_context(cadata=authorities)
    except (OSError, ValueError) as error:
        raise SettingsError(f"`{host.ca}`, the ca of `{host.host}` in xks-proxies, cannot be read: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES)
    context.set_alpn_protocols(["http/1.1"])
    return context
