"""A worker's view of the store: what it has read, cached until the change log says that it changed.

The view is strictly consistent: ``refresh`` at the start of every call compares the store's version with the one that
was seen last, and drops from the caches exactly what has changed since. A worker starts at once however many keys there
are, because keys are read when they are first asked for. Lookups that may not wait for the database raise MustWait
instead of reading it.
"""

import threading
import time
from collections.abc import Callable, Iterator

from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.keys.arns import AliasLocator, KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.snapshot.active_key import ActiveKey
from strongroom.snapshot.grants import GrantCache
from strongroom.snapshot.key_stores import KeyStores
from strongroom.snapshot.loaded_keys import LoadedKeys
from strongroom.snapshot.miss import MustWait
from strongroom.snapshot.principals import Principals
from strongroom.snapshot.read_through_cache import ReadThroughCache
from strongroom.snapshot.xks_proxies import XksProxies
from strongroom.store.protocol import Store
from strongroom.store.quarantine import Quarantine
from strongroom.store.records import Change, ChangeKind

Forget = Callable[[Change], None]


def _forget_nothing(_change: Change) -> None:
    """Do nothing, for what is not cached."""


class Snapshot:
    """Keys, aliases, credentials and grants as this process knows them. Safe to use from several threads.

    At most ``max_keys`` keys are cached, and as many aliases and grants; the least recently used make room.
    Every lookup takes ``may_wait``: whether it may read the database on a cache miss.
    """

    def __init__(  # noqa: PLR0913 - what is looked up, and what is kept of it
        self,
        store: Store,
        key_backends: KeyBackends,
        secrets: ServiceSecrets,
        max_keys: int = 100_000,
        quarantine: Quarantine | None = None,
        key_stores: KeyStores | None = None,
        *,
        loaded_keys: LoadedKeys | None = None,
    ) -> None:
        """Look things up in ``store``. ``loaded_keys`` bounds the key material in memory; without it, nothing does."""
        self._store = store
        self._quarantine = quarantine or Quarantine()
        self._key_backends = key_backends
        self._loaded_keys = loaded_keys or LoadedKeys(max_keys, 0, time.monotonic)
        self._catching_up = threading.Lock()
        self._version = b""
        self._last_change = 0
        self.catch_ups = 0
        """How often the view was behind the store."""
        self._keys: ReadThroughCache[KeyLocator, ActiveKey] = ReadThroughCache(
            max_keys, self._index_materials, self._drop_materials
        )
        self._aliases: ReadThroughCache[AliasLocator, str] = ReadThroughCache(max_keys)
        # Region and material id -> key, of the keys that are cached.
        self._materials: dict[tuple[str, str], KeyLocator] = {}
        self.key_stores = KeyStores(store) if key_stores is None else key_stores
        self.principals = Principals(store, secrets, self._quarantine)
        self.grants = GrantCache(store, max_grants=max_keys)
        self.xks_proxies = XksProxies(store, secrets, self._quarantine)
        self._forget: dict[ChangeKind, Forget] = {
            ChangeKind.KEY: self._forget_key,
            ChangeKind.ALIAS: self._forget_alias,
            ChangeKind.ACCESS_KEY: self.principals.forget_access_key,
            ChangeKind.IDENTITY: self.principals.forget_account,
            ChangeKind.GRANT: self.grants.forget,
            ChangeKind.ACCOUNT: self.principals.forget_account,
            ChangeKind.XKS_PROXY: self.xks_proxies.forget,
            ChangeKind.CUSTOM_KEY_STORE: self.key_stores.forget,
            ChangeKind.DOMAIN_KEY: lambda _change: secrets.note_change(),
        }
        self._secrets = secrets

    def sizes(self) -> dict[str, int]:
        """Return how many of each kind are cached now."""
        return {
            "key": self._keys.size,
            "loaded_key": self._loaded_keys.size,
            "alias": self._aliases.size,
            "grant": self.grants.size,
            "credential": self.principals.size,
        }

    def misses(self) -> dict[str, int]:
        """Return how often each kind had to be read from the store."""
        return {
            "key": self._keys.misses,
            "alias": self._aliases.misses,
            "grant": self.grants.misses,
            "credential": self.principals.misses,
        }

    def unload_keys(self) -> None:
        """Forget key material that was loaded too long ago. It has to be called every few seconds."""
        self._loaded_keys.sweep()

    def refresh(self) -> None:
        """Make the view current: what any process committed before this call is seen after it."""
        if self._store.version() != self._version:
            self._catch_up()

    def key(self, locator: KeyLocator, *, may_wait: bool) -> ActiveKey | None:
        """Return a key, or None if there is none; raises MustWait."""
        return self._keys.get(locator) or self._keys.look_up(locator, self._read_key, may_wait=may_wait)

    def key_of_material(self, region: str, material_id: str, *, may_wait: bool) -> ActiveKey | None:
        """Return the key that a key material of this Region belongs to, or None; raises MustWait."""
        locator = self._materials.get((region, material_id))
        if locator is None:
            if not may_wait:
                raise MustWait
            with self._store.read() as reader:
                locator = reader.key_of_material(region, material_id)
        return None if locator is None else self.key(locator, may_wait=may_wait)

    def alias(self, locator: AliasLocator, *, may_wait: bool) -> str | None:
        """Return the id of the key an alias points to, or None if there is no such alias; raises MustWait."""
        return self._aliases.get(locator) or self._aliases.look_up(locator, self._read_alias, may_wait=may_wait)

    def find(self, locator: KeyLocator | AliasLocator, *, may_wait: bool) -> ActiveKey | None:
        """Return the key of that id, or the one that an alias points to, or None; raises MustWait."""
        if isinstance(locator, KeyLocator):
            return self.key(locator, may_wait=may_wait)
        key_id = self.alias(locator, may_wait=may_wait)
        return None if key_id is None else self.key(self._of(locator, key_id), may_wait=may_wait)

    def active(self, key: KmsKey) -> ActiveKey:
        """Return a key ready for use, and cache nothing: for a key that is about to be changed or made."""
        return ActiveKey(key, self._key_backends, self._quarantine)

    @staticmethod
    def _of(alias: AliasLocator, key_id: str) -> KeyLocator:
        return KeyLocator(alias.account, alias.region, key_id)

    def _read_key(self, locator: KeyLocator) -> ActiveKey | None:
        key = self._store.load_key(locator)
        # Whether calls with the key wait for a token follows from the domain keys.
        self._secrets.take_over_changes()
        return None if key is None else ActiveKey(key, self._key_backends, self._quarantine, self._loaded_keys)

    def _read_alias(self, locator: AliasLocator) -> str | None:
        with self._store.read() as reader:
            record = reader.alias(locator)
        return None if record is None else record.key_id

    def _catch_up(self) -> None:
        with self._catching_up:
            self.catch_ups += 1
            # In this order: a commit between the two lines shows as another version next time.
            version = self._store.version()
            changes = self._store.changes(self._last_change)
            if changes.complete:
                for change in changes.entries:
                    self._forget[change.kind](change)
            else:
                self._forget_everything()
            self._last_change = changes.last
            self._version = version

    def _forget_key(self, change: Change) -> None:
        self._keys.forget(KeyLocator(change.account, change.region, change.name))

    def _forget_alias(self, change: Change) -> None:
        self._aliases.forget(AliasLocator(change.account, change.region, change.name))

    def _index_materials(self, locator: KeyLocator, active: ActiveKey) -> None:
        for material_id in _material_ids(active):
            self._materials[locator.region, material_id] = locator

    def _drop_materials(self, active: ActiveKey) -> None:
        for material_id in _material_ids(active):
            self._materials.pop((active.key.region, material_id), None)
        self._loaded_keys.remove(active)

    def _forget_everything(self) -> None:
        self._secrets.note_change()
        self._keys.forget_all()
        self._aliases.forget_all()
        self.principals.forget_everything()
        self.grants.forget_everything()
        self.xks_proxies.forget_everything()
        self.key_stores.forget_everything()


def _material_ids(active: ActiveKey) -> Iterator[str]:
    """Yield the ids of a key's material. A ciphertext of material that is missing is answered with what is true."""
    for material in active.key.materials:
        yield material.material_id
    yield from active.key.damaged
