"""Which key back ends a data folder is opened with."""

from typing import NamedTuple

from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.tokens import ConfiguredToken, key_backend_of
from strongroom.clock import Clock
from strongroom.crypto.cloudhsm.configured import ConfiguredClusters
from strongroom.crypto.cloudhsm.connections import ClusterConnections, ConnectionOptions
from strongroom.crypto.cloudhsm.key_backend import CloudHsmKeyBackends, not_connected
from strongroom.crypto.domain_keys import DomainKeys
from strongroom.crypto.key_backend import KeyBackend
from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.crypto.xks.allowed_hosts import AllowedHosts
from strongroom.crypto.xks.key_backend import ExternalKeyBackend
from strongroom.crypto.xks.proxies import XksProxies
from strongroom.entropy import Entropy
from strongroom.keys.custom_key_stores import CustomKeyStore
from strongroom.settings import Settings
from strongroom.snapshot.key_stores import KeyStores
from strongroom.store.protocol import Store


class OpenBackEnds(NamedTuple):
    """The key back ends of an open folder, and what they use. Close them afterwards."""

    key_backends: KeyBackends
    proxies: XksProxies
    clusters: ClusterConnections
    key_stores: KeyStores

    def look(self) -> None:
        """Close connections to clusters that the database does not say are connected any more."""
        self.clusters.look()

    def close(self) -> None:
        """Close the connections to external key store proxies and to clusters."""
        self.proxies.close()
        self.clusters.close()


def require_certificates(settings: Settings) -> None:
    """Read the certificates that the settings name for proxies and clusters; raises SettingsError."""
    AllowedHosts(settings.xks_proxies, approved_only=settings.fips).load()
    ConfiguredClusters(settings.cloudhsm_clusters).load()


def open_key_backends(
    default: KeyBackend,
    secrets: ServiceSecrets,
    settings: Settings,
    store: Store,
    clock: Clock,
    entropy: Entropy,
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
    # Half of the threads here too.
    login = DataFolder(settings.folder).token_login
    options = ConnectionOptions(max(1, settings.key_backend_threads // 2), settings.pkcs11_handles, login)
    configured = ConfiguredClusters(settings.cloudhsm_clusters)
    clusters = ClusterConnections(configured, secrets, key_stores, options, clock.timer)
    in_clusters = CloudHsmKeyBackends(clusters.token_of, entropy)
    return OpenBackEnds(KeyBackends(default, in_clusters, external), proxies, clusters, key_stores)


def loading_key_backends(
    domain_keys: DomainKeys, entropy: Entropy, clock: Clock, token: ConfiguredToken
) -> KeyBackends:
    """Return back ends for a command that loads key material and never uses it: no host may be called."""
    default = key_backend_of(token, domain_keys, entropy)
    proxies = XksProxies(AllowedHosts(()), ServiceSecrets(domain_keys), clock, patience=1.0, at_once=1)
    in_clusters = CloudHsmKeyBackends(not_connected, entropy)
    return KeyBackends(default, in_clusters, ExternalKeyBackend(default, proxies, _no_store))


def _no_store(_account: str, _region: str, _store_id: str) -> CustomKeyStore | None:
    return None
