"""The proxies of external key stores as this process knows them: their credentials, unwrapped, and their keys.

Any change of a proxy makes this process forget all of that proxy: changes are an operator's, and rare.
"""

from collections.abc import Mapping

import msgspec
from typing_extensions import override

from strongroom.crypto.binding import xks_credential_binding
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.snapshot.read_through_cache import ReadThroughCache
from strongroom.store.protocol import Store
from strongroom.store.quarantine import Finding, Quarantine
from strongroom.store.records import Change
from strongroom.xks_proxy.registry import XksKey, XksProxy

_MOST_PROXIES = 1000
_MOST_KEYS = 100_000


class ActiveXksProxy(msgspec.Struct, frozen=True):
    """A proxy with its credentials: access key id → secret."""

    proxy: XksProxy
    secrets: Mapping[str, str]

    @override
    def __repr__(self) -> str:
        return f"ActiveXksProxy({self.proxy.prefix!r})"


class XksProxies:
    """The cache of proxies. Every lookup takes ``may_wait``: see ``Snapshot``."""

    def __init__(self, store: Store, secrets: ServiceSecrets, quarantine: Quarantine) -> None:
        self._store = store
        self._secrets = secrets
        self._quarantine = quarantine
        self._proxies: ReadThroughCache[str, ActiveXksProxy] = ReadThroughCache(_MOST_PROXIES)
        self._keys: ReadThroughCache[tuple[str, str], XksKey] = ReadThroughCache(_MOST_KEYS)

    def proxy(self, prefix: str, *, may_wait: bool) -> ActiveXksProxy | None:
        """Return a proxy, or None; raises MustWait, QuarantinedRecordException."""
        return self._proxies.get(prefix) or self._proxies.look_up(prefix, self._read_proxy, may_wait=may_wait)

    def key(self, prefix: str, external_id: str, *, may_wait: bool) -> XksKey | None:
        """Return a key that a proxy gives out, or None; raises MustWait, QuarantinedRecordException."""
        place = (prefix, external_id)
        return self._keys.get(place) or self._keys.look_up(place, self._read_key, may_wait=may_wait)

    def forget(self, change: Change) -> None:
        """Forget one proxy, its credentials and its keys."""
        prefix = change.name
        self._proxies.forget(prefix)
        self._keys.forget_those(lambda place, _: place[0] == prefix)

    def forget_everything(self) -> None:
        """Forget everything."""
        self._proxies.forget_all()
        self._keys.forget_all()

    def _read_proxy(self, prefix: str) -> ActiveXksProxy | None:
        with self._store.read() as reader:
            proxy = reader.xks_proxy(prefix)
            credentials = reader.xks_credentials(prefix)
        if proxy is None:
            return None
        secrets: dict[str, str] = {}
        for each in credentials:
            try:
                bound_to = xks_credential_binding(prefix, each.access_key_id)
                secrets[each.access_key_id] = self._secrets.unwrap(each.wrapped_secret, bound_to).decode()
            except UnsealError as error:
                # The other credentials of the proxy still work.
                name = f"credential {each.access_key_id} of an XKS proxy"
                self._quarantine.add(Finding(name, f"its secret cannot be unwrapped ({error})"))
        return ActiveXksProxy(proxy, secrets)

    def _read_key(self, place: tuple[str, str]) -> XksKey | None:
        with self._store.read() as reader:
            return reader.xks_key(*place)
