"""Grants as this process knows them: by key and grantee, read when a call could use them, kept current one by one.

Of a grantee's grants on a key, the labels are read at once: numbers that say under which encryption contexts there are
any. The grants under a label are read when a call comes that has it, a page at a time until one of them permits it. So
the first call of somebody with fifty thousand grants reads a handful.
"""

from collections.abc import Callable, Iterable, Sequence
from threading import Lock

from strongroom.keys.arns import KeyLocator
from strongroom.keys.grants import (
    ANY_CONTEXT,
    Grant,
    GrantIndex,
    Label,
    has_unconstrained_operation,
    possible_labels,
)
from strongroom.store.protocol import Store
from strongroom.store.records import Change

Search = Callable[[GrantIndex], Grant | None]

_PAGE = 100


class _File:
    """The grants under one label, as far as they have been read: up to the grant id ``after``; None is all."""

    def __init__(self) -> None:
        self.index = GrantIndex(iter(()))
        self.after: str | None = ""


class _Holder:
    """The grants of one grantee on one key: under which labels there may be any, and those that have been read."""

    def __init__(self, locator: KeyLocator, grantee: str, labels: set[Label]) -> None:
        self.locator = locator
        self.grantee = grantee
        self.labels = labels
        self.is_held = True
        self.files: dict[Label, _File] = {}
        self.labels_read: dict[str, set[Label]] = {}

    def __len__(self) -> int:
        # Knowing that there is nothing takes room too.
        return len(self.labels) + len(self.files) + len(self.labels_read) + 1

    def file(self, label: Label, grants: Iterable[Grant]) -> None:
        """Put grants into the file of a label."""
        for grant in grants:
            self.files[label].index.add(grant)
            self.labels_read.setdefault(grant.grant_id, set()).add(label)

    def add(self, grant: Grant) -> None:
        """Put in a new grant, under every label that it may have."""
        labels = {*possible_labels(grant)}
        self.labels |= labels
        if has_unconstrained_operation(grant):
            labels.add(ANY_CONTEXT)
        for label in labels & self.files.keys():
            self.file(label, (grant,))

    def remove(self, grant_id: str) -> None:
        """Take a grant out."""
        for label in self.labels_read.pop(grant_id, ()):
            self.files[label].index.remove(grant_id)


class GrantCache:
    """The cache. ``lock`` is the snapshot's. At most ``max_grants`` are held, or else those on one key."""

    def __init__(self, store: Store, lock: Lock, max_grants: int) -> None:
        self._store = store
        self._lock = lock
        self._max_grants = max_grants
        self._held = 0
        self.misses = 0
        self._holders: dict[KeyLocator, dict[str, _Holder]] = {}
        # An index must not change while it is searched.
        self._searching = Lock()

    @property
    def held(self) -> int:
        """How many grants and labels of grants are held."""
        return self._held

    def find(
        self, locator: KeyLocator, grantees: Iterable[str], labels: Sequence[Label], search: Search
    ) -> Grant | None:
        """Return what ``search`` finds among the grants on a key to any of these, named as policies know them.

        ``labels`` are those that a grant must have one of.
        """
        for grantee in grantees:
            holder = self._holders.get(locator, {}).get(grantee)
            if holder is None:
                holder = self._read_labels(locator, grantee)
            for label in labels:
                if label in holder.labels or label == ANY_CONTEXT:
                    grant = self._search(holder, label, search)
                    if grant is not None:
                        return grant
        return None

    def update(self, change: Change) -> None:
        """Bring one grant up to date where it is held, so that a new one does not mean to read all others again."""
        key_id, _, grant_id = change.name.partition("/")
        locator = KeyLocator(change.account, change.region, key_id)
        holders = self._holders.get(locator)
        if not holders:
            return
        if not grant_id:
            self._forget(locator)
            return
        with self._store.read() as reader:
            grant = reader.grant(locator, grant_id)
        with self._searching:
            for name, holder in holders.items():
                before = len(holder)
                holder.remove(grant_id)
                if grant is not None and grant.grantee.name == name:
                    holder.add(grant)
                self._held += len(holder) - before
        self._make_room(locator)

    def forget_everything(self) -> None:
        """Start anew."""
        for locator in list(self._holders):
            self._forget(locator)

    def _search(self, holder: _Holder, label: Label, search: Search) -> Grant | None:
        """Search the grants under a label, reading on for as long as that finds nothing."""
        while True:
            file = holder.files.get(label)
            if file is not None:
                with self._searching:
                    grant, after = search(file.index), file.after
                if grant is not None or after is None:
                    return grant
            self._read_on(holder, label)

    def _read_on(self, holder: _Holder, label: Label) -> None:
        with self._lock:
            after = holder.files[label].after if label in holder.files else ""
            if after is None:
                # Somebody else was here.
                return
            self.misses += 1
            with self._store.read() as reader:
                grants = reader.grants_to(holder.locator, holder.grantee, label, after, _PAGE)
            with self._searching:
                before = len(holder)
                file = holder.files.setdefault(label, _File())
                holder.file(label, grants)
                file.after = grants[-1].grant_id if len(grants) == _PAGE else None
            # What was forgotten meanwhile is good for the call that has it, and for no other.
            if holder.is_held:
                self._held += len(holder) - before
                self._make_room(holder.locator)

    def _read_labels(self, locator: KeyLocator, grantee: str) -> _Holder:
        with self._lock:
            known = self._holders.get(locator, {}).get(grantee)
            if known is not None:
                return known
            self.misses += 1
            with self._store.read() as reader:
                holder = _Holder(locator, grantee, reader.labels_of_grants_to(locator, grantee))
            self._held += len(holder)
            self._holders.setdefault(locator, {})[grantee] = holder
            self._make_room(locator)
        return holder

    def _make_room(self, wanted: KeyLocator) -> None:
        """Forget the grants on the keys that came first, but for the one that is wanted."""
        while self._held > self._max_grants:
            first = next((each for each in self._holders if each != wanted), None)
            if first is None:
                break
            self._forget(first)

    def _forget(self, locator: KeyLocator) -> None:
        for holder in self._holders.pop(locator, {}).values():
            holder.is_held = False
            self._held -= len(holder)
