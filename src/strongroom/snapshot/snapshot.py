"""The worker's view of the store: what it has read, kept until the change log says that it changed.

Strictly consistent: ``refresh`` at the start of every call compares one number with the store, and forgets exactly what
has changed since. Reads go through to the store on a miss, so a worker starts at once however many keys there are.
"""

import threading
from collections.abc import Callable

from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.keys.arns import AliasLocator, KeyLocator
from strongroom.snapshot.active_key import ActiveKey
from strongroom.snapshot.generational_cache import GenerationalCache
from strongroom.snapshot.grants import GrantCache
from strongroom.snapshot.principals import Principals
from strongroom.store.protocol import Store
from strongroom.store.records import Change, ChangeKind

Forget = Callable[[Change], None]


class Snapshot:
    """Keys, aliases, credentials and accounts as this process knows them. Safe to use from several threads.

    At most ``max_keys`` keys are held, and as many aliases and grants; those asked for longest ago make room.
    """

    def __init__(
        self, store: Store, key_backends: KeyBackends, secrets: ServiceSecrets, max_keys: int = 100_000
    ) -> None:
        self._store = store
        self._key_backends = key_backends
        self._max_keys = max_keys
        self._lock = threading.Lock()
        self._version = b""
        self._last_change = 0
        self.catch_ups = 0
        """How often the view was behind the store."""
        self.misses = {"key": 0, "alias": 0}
        """How often what was asked for had to be read."""
        self._keys: GenerationalCache[KeyLocator, ActiveKey] = GenerationalCache(max_keys, self._forget_materials)
        self._aliases: GenerationalCache[AliasLocator, str] = GenerationalCache(max_keys)
        # Those of the keys that are held.
        self._materials: dict[tuple[str, str], KeyLocator] = {}
        self.principals = Principals(store, secrets, self._lock)
        self.grants = GrantCache(store, self._lock, max_keys)
        self._forget: dict[ChangeKind, Forget] = {
            ChangeKind.KEY: self._forget_key,
            ChangeKind.ALIAS: self._forget_alias,
            ChangeKind.ACCESS_KEY: self.principals.forget_access_key,
            ChangeKind.IDENTITY: self.principals.forget_account,
            ChangeKind.GRANT: self.grants.update,
            ChangeKind.ACCOUNT: self.principals.forget_account,
        }

    def held(self) -> dict[str, int]:
        """Return how much of each kind is held now."""
        return {
            "key": self._keys.held,
            "alias": self._aliases.held,
            "grant": self.grants.held,
            "credential": self.principals.held,
        }

    def read(self) -> dict[str, int]:
        """Return how often each kind had to be read from the store, because it was not held."""
        return {**self.misses, "grant": self.grants.misses, "credential": self.principals.misses}

    def refresh(self) -> None:
        """Make the view current: what any process committed before this call is seen after it."""
        if self._store.version() != self._version:
            self._catch_up()

    def key(self, locator: KeyLocator) -> ActiveKey | None:
        """Return a key, or None if there is none."""
        return self._keys.get(locator) or self._read_key(locator)

    def key_of_material(self, region: str, material_id: str) -> ActiveKey | None:
        """Return the key that a key material of this Region belongs to."""
        locator = self._materials.get((region, material_id))
        if locator is None:
            with self._lock, self._store.read() as reader:
                locator = reader.key_of_material(region, material_id)
        return None if locator is None else self.key(locator)

    def alias(self, locator: AliasLocator) -> str | None:
        """Return the id of the key an alias points to."""
        return self._aliases.get(locator) or self._read_alias(locator)

    def find(self, locator: KeyLocator | AliasLocator) -> ActiveKey | None:
        """Return the key of that id, or the one that an alias points to."""
        if isinstance(locator, KeyLocator):
            return self.key(locator)
        key_id = self.alias(locator)
        return None if key_id is None else self.key(KeyLocator(locator.account, locator.region, key_id))

    def _read_key(self, locator: KeyLocator) -> ActiveKey | None:
        # Reading and remembering under one lock: a change can then never be forgotten before it is remembered.
        with self._lock:
            active = self._keys.recall(locator)
            if active is not None:
                return active
            self.misses["key"] += 1
            with self._store.read() as reader:
                key = reader.key(locator)
            if key is None:
                return None
            active = ActiveKey(key, self._key_backends)
            self._keys.remember(locator, active)
            for material in key.materials:
                self._materials[locator.region, material.material_id] = locator
        return active

    def _read_alias(self, locator: AliasLocator) -> str | None:
        with self._lock:
            key_id = self._aliases.recall(locator)
            if key_id is not None:
                return key_id
            self.misses["alias"] += 1
            with self._store.read() as reader:
                record = reader.alias(locator)
            if record is None:
                return None
            self._aliases.remember(locator, record.key_id)
        return record.key_id

    def _catch_up(self) -> None:
        with self._lock:
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
        active = self._keys.forget(KeyLocator(change.account, change.region, change.name))
        if active is not None:
            self._forget_materials(active)

    def _forget_materials(self, active: ActiveKey) -> None:
        for material in active.key.materials:
            self._materials.pop((active.key.region, material.material_id), None)

    def _forget_alias(self, change: Change) -> None:
        self._aliases.forget(AliasLocator(change.account, change.region, change.name))

    def _forget_everything(self) -> None:
        self._keys.forget_all()
        self._aliases.forget_all()
        self._materials.clear()
        self.principals.forget_everything()
        self.grants.forget_everything()
