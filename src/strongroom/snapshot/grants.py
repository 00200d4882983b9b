"""Grants as this process knows them: by key and grantee, read when a call could use them, updated one by one.

Of a grantee's grants on a key, the labels are read at once: numbers that say under which encryption contexts there are
any grants. The grants under a label are read when a call comes that has it, a page at a time until one of them permits
it. So the first call of a grantee with fifty thousand grants reads a handful. What is read, and the comparison of many
grants, waits for a thread where the call may wait.

The change log names each grant that was created or removed. It is dropped from the cache at once, and read again by the
next call on its key. No lock is held while the database is read; what was read is cached only if no grant changed
meanwhile.
"""

from collections.abc import Iterable, Sequence
from itertools import count
from threading import Lock

from strongroom.keys.arns import KeyLocator
from strongroom.keys.grants import (
    ANY_CONTEXT,
    Grant,
    GrantIndex,
    Label,
    Search,
    TooManyCandidates,
    has_unconstrained_operation,
    possible_labels,
)
from strongroom.snapshot.miss import MustWait
from strongroom.store.protocol import Store
from strongroom.store.records import Change

_PAGE = 100
_MOST_AT_ONCE = 200
"""How many grants are compared on the event loop, or while other calls wait for the cache: about 0.2 milliseconds."""
_ATTEMPTS = 3
"""How often a page is read again because grants changed meanwhile."""
_MOST_UNREAD = 1000
"""Changed grants of one key that are remembered one by one; with more, all of the key's grants are read anew."""


class _GranteeGrants:
    """The grants of one grantee on one key: the labels under which there may be any, and those that have been read.

    ``read_to`` tells how far the grants under each label have been read: up to that grant id; None is all of them.
    ``private``: only one call uses it, because it may be out of date for any later one.
    """

    def __init__(self, locator: KeyLocator, grantee: str, labels: set[Label], *, private: bool = False) -> None:
        self.locator = locator
        self.grantee = grantee
        self.labels = labels
        self.private = private
        self.is_cached = False
        self.index = GrantIndex(iter(()))
        self.read_to: dict[Label, str | None] = {}

    def __len__(self) -> int:
        # That a grantee has no grants at all takes room too.
        return len(self.labels) + len(self.read_to) + len(self.index) + 1

    def private_copy(self) -> "_GranteeGrants":
        """Return the same labels without any grants, for one call alone."""
        return _GranteeGrants(self.locator, self.grantee, {*self.labels}, private=True)

    def unread(self, labels: Sequence[Label]) -> list[Label]:
        """Return which of some labels there may be grants under that have not been read."""
        known, read_to = self.labels, self.read_to
        return [
            label for label in labels if (label in known or label == ANY_CONTEXT) and read_to.get(label, "") is not None
        ]

    def add_page(self, label: Label, grants: Sequence[Grant]) -> None:
        """Add the next page of grants under a label."""
        for grant in grants:
            self.index.add(grant)
        self.read_to[label] = grants[-1].grant_id if len(grants) == _PAGE else None

    def add(self, grant: Grant) -> None:
        """Add a new grant, if any under its labels have been read."""
        labels = {*possible_labels(grant)}
        self.labels |= labels
        if has_unconstrained_operation(grant):
            labels.add(ANY_CONTEXT)
        if not labels.isdisjoint(self.read_to):
            self.index.add(grant)

    def remove(self, grant_id: str) -> None:
        """Remove a grant."""
        self.index.remove(grant_id)


class GrantCache:
    """The cache. Safe to use from several threads. At most ``max_grants`` are cached, or else those on one key."""

    def __init__(self, store: Store, max_grants: int) -> None:
        self._store = store
        self._max_grants = max_grants
        # Held for every look at what is cached, and never while the database is read.
        self._lock = Lock()
        self._size = 0
        self.misses = 0
        """How often grants had to be read."""
        self._cached: dict[KeyLocator, dict[str, _GranteeGrants]] = {}
        # Key -> id of a grant that changed -> number of the change.
        self._unread: dict[KeyLocator, dict[str, int]] = {}
        self._changes = count(1)
        self._last_change = 0

    @property
    def size(self) -> int:
        """How many grants and labels of grants are cached."""
        return self._size

    def find(
        self,
        locator: KeyLocator,
        grantees: Iterable[str],
        labels: Sequence[Label],
        search: Search,
        *,
        may_wait: bool,
    ) -> Grant | None:
        """Return what ``search`` finds among the grants on a key to any of these, named as policies know them.

        ``labels`` are those that a grant must have one of. Raises MustWait when something has to be read, or many
        grants to be compared, and the caller may not wait.
        """
        if locator in self._unread:
            self._read_changed(locator, may_wait=may_wait)
        for grantee in grantees:
            cached = grants = self._of_grantee(locator, grantee, may_wait=may_wait)
            grant = self._known(cached, search, may_wait=may_wait)
            if grant is not None:
                return grant
            for label in cached.unread(labels):
                if not may_wait:
                    raise MustWait
                grant, grants = self._read_on(grants, label, search)
                if grant is not None:
                    return grant
            # What this call has found read already may have been read, by another thread, after the first look.
            grant = self._known(cached, search, may_wait=may_wait)
            if grant is not None:
                return grant
        return None

    def forget(self, change: Change) -> None:
        """Drop a grant that was created or removed, so that it is read again when a call needs the key's grants."""
        key_id, _, grant_id = change.name.partition("/")
        locator = KeyLocator(change.account, change.region, key_id)
        with self._lock:
            self._last_change = next(self._changes)
            cached = self._cached.get(locator)
            if not cached:
                return
            unread = self._unread.setdefault(locator, {})
            if not grant_id or len(unread) >= _MOST_UNREAD:
                self._drop(locator)
                return
            unread[grant_id] = self._last_change
            for grants in cached.values():
                before = len(grants)
                grants.remove(grant_id)
                self._size += len(grants) - before

    def forget_everything(self) -> None:
        """Drop all grants."""
        with self._lock:
            self._last_change = next(self._changes)
            for locator in list(self._cached):
                self._drop(locator)

    def _read_changed(self, locator: KeyLocator, *, may_wait: bool) -> None:
        """Read the grants on a key that have changed since they were cached."""
        with self._lock:
            changed = dict(self._unread.get(locator, ()))
        if not changed:
            return
        if not may_wait:
            raise MustWait
        with self._store.read() as reader:
            found = {grant_id: reader.grant(locator, grant_id) for grant_id in changed}
        with self._lock:
            self.misses += 1
            unread = self._unread.get(locator, {})
            for grant_id, number in changed.items():
                # Another number: it changed again, and another call will read it.
                if unread.get(grant_id) == number:
                    del unread[grant_id]
                    self._update(locator, grant_id, found[grant_id])
            if not unread:
                self._unread.pop(locator, None)
            self._make_room(locator)

    def _update(self, locator: KeyLocator, grant_id: str, grant: Grant | None) -> None:
        for name, grants in self._cached.get(locator, {}).items():
            before = len(grants)
            grants.remove(grant_id)
            if grant is not None and grant.grantee.name == name:
                grants.add(grant)
            self._size += len(grants) - before

    def _of_grantee(self, locator: KeyLocator, grantee: str, *, may_wait: bool) -> _GranteeGrants:
        cached = self._cached.get(locator, {}).get(grantee)
        if cached is not None:
            return cached
        if not may_wait:
            raise MustWait
        begun_at = self._last_change
        with self._store.read() as reader:
            labels = reader.labels_of_grants_to(locator, grantee)
        with self._lock:
            self.misses += 1
            cached = self._cached.get(locator, {}).get(grantee)
            if cached is not None:
                # Another thread has read it at the same time.
                return cached
            grants = _GranteeGrants(locator, grantee, labels, private=self._last_change != begun_at)
            if not grants.private:
                grants.is_cached = True
                self._size += len(grants)
                self._cached.setdefault(locator, {})[grantee] = grants
                self._make_room(locator)
        return grants

    def _known(self, grants: _GranteeGrants, search: Search, *, may_wait: bool) -> Grant | None:
        """Return what a search permits of the grants that have been read."""
        with self._lock:
            try:
                return grants.index.find(search, _MOST_AT_ONCE)
            except TooManyCandidates:
                if not may_wait:
                    raise MustWait from None
                candidates = grants.index.candidates(search)
        # Other calls go on meanwhile.
        return next(filter(search.permits, candidates), None)

    def _read_on(self, grants: _GranteeGrants, label: Label, search: Search) -> tuple[Grant | None, _GranteeGrants]:
        """Read the grants under a label for as long as that finds nothing; return the one found, and those read."""
        attempts = 0
        while (after := grants.read_to.get(label, "")) is not None:
            page = self._read_page(grants, label, after)
            if page is None:
                attempts += 1
                if attempts == _ATTEMPTS:
                    # Grants change all the time: this call goes on with what it reads for itself alone.
                    grants = grants.private_copy()
                continue
            found = next(filter(search.permits, page), None)
            if found is not None:
                return found, grants
        return None, grants

    def _read_page(self, grants: _GranteeGrants, label: Label, after: str) -> Sequence[Grant] | None:
        """Read and return the next page of grants under a label; None if it is of no use."""
        begun_at = self._last_change
        with self._store.read() as reader:
            page = reader.grants_to(grants.locator, grants.grantee, label, after, _PAGE)
        with self._lock:
            self.misses += 1
            if not grants.private and self._last_change != begun_at:
                return None
            if grants.read_to.get(label, "") != after:
                # Another thread has read this page.
                return page
            before = len(grants)
            grants.add_page(label, page)
            if grants.is_cached:
                self._size += len(grants) - before
                self._make_room(grants.locator)
        return page

    def _make_room(self, wanted: KeyLocator) -> None:
        """Drop the grants on the keys that were cached first, but for the one that is wanted."""
        while self._size > self._max_grants:
            first = next((each for each in self._cached if each != wanted), None)
            if first is None:
                break
            self._drop(first)

    def _drop(self, locator: KeyLocator) -> None:
        self._unread.pop(locator, None)
        for grants in self._cached.pop(locator, {}).values():
            grants.is_cached = False
            self._size -= len(grants)
