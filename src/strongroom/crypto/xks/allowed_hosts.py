"""The hosts that this server may call as external key store proxies: those that the operator lists, and no others.

A caller of CreateCustomKeyStore chooses the name of a proxy. Without a list, this server would connect to every host
that is named, also behind the firewalls around it (server-side request forgery).
"""

from collections.abc import Sequence

from strongroom.http.client_tls import client_context
from strongroom.http.outgoing import Endpoint
from strongroom.keys.custom_key_stores import XksProxy
from strongroom.keys.xks_failures import XksError, XksFailure
from strongroom.settings import SettingsError, XksProxyHost, address_of

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
        context = client_context(
            host.ca,
            host.cert,
            host.key,
            suites=_SUITES,
            approved_only=self._approved_only,
            whose=f"`{host.host}` in xks-proxies",
        )
        context.set_alpn_protocols(["http/1.1"])
        return Endpoint(name, at, port, context)
