"""Which key back ends a data folder is opened with."""

from typing import NamedTuple

from strongroom.clock import Clock
from strongroom.crypto.domain_keys import DomainKeys
from strongroom.crypto.key_backend import KeyBackend
from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.crypto.xks.allowed_hosts import AllowedHosts
from strongroom.crypto.xks.key_backend import ExternalKeyBackend
from strongroom.crypto.xks.proxies import XksProxies
from strongroom.entropy import Entropy
from strongroom.keys.custom_key_stores import CustomKeyStore
from strongroom.settings import Settings
from strongroom.snapshot.key_stores import KeyStores
from strongroom.store.protocol import Store


class OpenBackEnds(NamedTuple):
    """The key back ends of an open folder, and what they use. Close ``proxies`` afterwards."""

    key_backends: KeyBackends
    proxies: XksProxies
    key_stores: KeyStores


def open_key_backends(
    default: KeyBackend, secrets: ServiceSecrets, settings: Settings, store: Store, clock: Clock
) -> OpenBackEnds:
    """Return the back ends that serve calls, with that of the default key store; raises SettingsError."""
    # Half of the threads, so that a proxy that has stopped answering does not take those of other key stores.
    proxies = XksProxies(
        AllowedHosts(settings.xks_proxies, approved_only=settings.fips),
        secrets,
        clock,
        patience=settings.xks_timeout,
        at_once=settings.xks_threads // 2,
    )
    key_stores = KeyStores(store)
    external = ExternalKeyBackend(default, proxies, key_stores.find)
    return OpenBackEnds(KeyBackends(default, external=external), proxies, key_stores)


def loading_key_backends(domain_keys: DomainKeys, entropy: Entropy, clock: Clock) -> KeyBackends:
    """Return back ends for a command that loads key material and never uses it: no host may be called."""
    software = SoftwareKeyBackend(domain_keys, entropy)
    proxies = XksProxies(AllowedHosts(()), ServiceSecrets(domain_keys), clock, patience=1.0, at_once=1)
    return KeyBackends(software, external=ExternalKeyBackend(software, proxies, _no_store))


def _no_store(_account: str, _region: str, _store_id: str) -> CustomKeyStore | None:
    return None
