"""The custom key stores that a worker knows. A use of an external key needs its store as it is at that moment."""

from strongroom.keys.custom_key_stores import CustomKeyStore
from strongroom.snapshot.read_through_cache import ReadThroughCache
from strongroom.store.protocol import Store
from strongroom.store.records import Change

_MAX_STORES = 10_000

_Place = tuple[str, str, str]
"""Account, Region and id of a store."""


class KeyStores:
    """Custom key stores, cached until they change. Safe to use from several threads, all of which may wait."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cached: ReadThroughCache[_Place, CustomKeyStore] = ReadThroughCache(_MAX_STORES)

    def find(self, account: str, region: str, store_id: str) -> CustomKeyStore | None:
        """Return a custom key store, or None if there is none."""
        place = (account, region, store_id)
        return self._cached.get(place) or self._cached.look_up(place, self._read, may_wait=True)

    def forget(self, change: Change) -> None:
        """Drop a store that has changed."""
        self._cached.forget((change.account, change.region, change.name))

    def forget_everything(self) -> None:
        """Drop all stores."""
        self._cached.forget_all()

    def _read(self, place: _Place) -> CustomKeyStore | None:
        with self._store.read() as reader:
            return reader.custom_key_store(*place)
