"""The last use of access keys: noted in memory on every call, written to the database from time to time."""

from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import AccessKeyUse

_GRANULARITY = 60.0


class AccessKeyUsage:
    """Notes the uses of access keys. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._latest: dict[str, tuple[float, str, str]] = {}
        self._written: dict[str, float] = {}

    def note(self, access_key_id: str, now: float, region: str, service: str) -> None:
        """Note a use of an access key."""
        self._latest[access_key_id] = (now, region, service)

    def write(self) -> None:
        """Write new uses to the database, those of one key at most once a minute."""
        due = {key: use for key, use in list(self._latest.items()) if self._is_due(key, use[0])}
        if not due:
            return

        def note(transaction: Transaction) -> None:
            # All writers use the same order, so that they cannot deadlock on each other's rows.
            for access_key_id, (now, region, service) in sorted(due.items()):
                transaction.note_access_key_use(AccessKeyUse(access_key_id, now, region, service))

        self._store.write(note)
        newest = max(now for now, _, _ in due.values())
        self._written |= {key: now for key, (now, _, _) in due.items()}
        self._written = {key: at for key, at in self._written.items() if newest - at < _GRANULARITY}
        for key, use in due.items():
            latest = self._latest.pop(key, use)
            if latest is not use:
                # Noted meanwhile; a call on another thread may even have noted a later one by now.
                self._latest.setdefault(key, latest)

    def _is_due(self, access_key_id: str, now: float) -> bool:
        return now - self._written.get(access_key_id, float("-inf")) >= _GRANULARITY
