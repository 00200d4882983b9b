"""Grants as this process knows them: by key and grantee, kept current one grant at a time."""

from collections.abc import Callable, Iterable
from threading import Lock

from strongroom.keys.arns import KeyLocator
from strongroom.keys.grants import Grant, GrantIndex
from strongroom.store.protocol import Change, Store

Search = Callable[[GrantIndex], Grant | None]


class GrantBook:
    """The cache. ``lock`` is the snapshot's. At most ``max_grants`` are held."""

    def __init__(self, store: Store, lock: Lock, max_grants: int) -> None:
        self._store = store
        self._lock = lock
        self._max_grants = max_grants
        self._held = 0
        self._indexes: dict[KeyLocator, dict[str, GrantIndex]] = {}
        # An index must not change while it is searched.
        self._searching = Lock()

    def find(self, locator: KeyLocator, grantees: Iterable[str], search: Search) -> Grant | None:
        """Return what ``search`` finds among the grants on a key to any of these, named as policies know them."""
        for grantee in grantees:
            index = self._indexes.get(locator, {}).get(grantee)
            if index is None:
                index = self._read(locator, grantee)
            with self._searching:
                grant = search(index)
            if grant is not None:
                return grant
        return None

    def update(self, change: Change) -> None:
        """Bring one grant up to date where it is held, so that a new one does not mean to read all others again."""
        key_id, _, grant_id = change.name.partition("/")
        locator = KeyLocator(change.account, change.region, key_id)
        indexes = self._indexes.get(locator)
        if not indexes:
            return
        if not grant_id:
            self._forget(locator)
            return
        with self._store.read() as reader:
            grant = reader.grant(locator, grant_id)
        with self._searching:
            for index in indexes.values():
                self._held -= index.remove(grant_id)
            if grant is not None and grant.grantee.name in indexes:
                indexes[grant.grantee.name].add(grant)
                self._held += 1

    def forget_everything(self) -> None:
        """Start anew."""
        self._indexes.clear()
        self._held = 0

    def _forget(self, locator: KeyLocator) -> None:
        for index in self._indexes.pop(locator, {}).values():
            self._held -= len(index) + 1

    def _read(self, locator: KeyLocator, grantee: str) -> GrantIndex:
        with self._lock:
            with self._store.read() as reader:
                index = GrantIndex(iter(reader.grants_to(locator, grantee)))
            # An empty index takes room too.
            self._held += len(index) + 1
            while self._held > self._max_grants and self._indexes:
                self._forget(next(iter(self._indexes)))
            self._indexes.setdefault(locator, {})[grantee] = index
        return index
