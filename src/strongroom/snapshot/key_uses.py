"""When keys were last used: noted in memory on every use, written down now and then, so that no use costs a write."""

from threading import Lock

from strongroom.keys.arns import KeyLocator
from strongroom.store.protocol import KeyUse, Store

_AT_ONCE = 500


class KeyUses:
    """Notes uses, and remembers the last of each key. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = Lock()
        self._noted: dict[KeyLocator, KeyUse] = {}
        self._being_written: dict[KeyLocator, KeyUse] = {}

    def note(self, use: KeyUse) -> None:
        """Note a successful use. One that began later may have ended before it."""
        with self._lock:
            known = self._noted.get(use.locator)
            if known is None or known.used_at <= use.used_at:
                self._noted[use.locator] = use

    def last(self, locator: KeyLocator) -> KeyUse | None:
        """Return the last use of a key, None if there was none."""
        with self._lock:
            noted = self._noted.get(locator) or self._being_written.get(locator)
        if noted is not None:
            return noted
        with self._store.read() as reader:
            return reader.key_use(locator)

    def write(self) -> None:
        """Write down what was noted since the last time."""
        with self._lock:
            self._being_written, self._noted = self._being_written | self._noted, {}
        uses = list(self._being_written.values())
        for start in range(0, len(uses), _AT_ONCE):
            # Others that want to write do not wait for all of it.
            with self._store.transaction() as transaction:
                transaction.note_key_uses(uses[start : start + _AT_ONCE])
        with self._lock:
            self._being_written = {}
