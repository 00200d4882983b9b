"""Announces what is about to be made in a hardware token for new domain keys, so that it is never left there for none.

It is to domain keys what ``operations.kms.announced_material`` is to key material. A first start announces nothing: the
database cannot authenticate rows before it has a domain key.
"""

from collections.abc import Sequence

from strongroom.store.protocol import Store, Transaction
from strongroom.store.subjects.destructions import COMMIT_TIME, ErasedDomainKey


class AnnouncedObjects:
    """The objects of one rotation that begins at ``now``, in epoch seconds."""

    def __init__(self, store: Store, now: float) -> None:
        self._store = store
        self._due_at = now + COMMIT_TIME
        self.objects: list[ErasedDomainKey] = []
        """What was announced."""

    def announce(self, objects: Sequence[ErasedDomainKey]) -> None:
        """Announce objects before they are made; raises as ``Store.write``, and then they must not be made."""

        def act(transaction: Transaction) -> None:
            for each in objects:
                transaction.add_destruction(each, self._due_at)

        self._store.write(act)
        self.objects.extend(objects)

    def confirm(self, transaction: Transaction) -> None:
        """Withdraw the announcements in the transaction that stores the domain keys.

        Raises WriteConflict if this process was so slow that the keeper has begun to destroy the objects.
        """
        for each in self.objects:
            transaction.withdraw_destruction(each, self._due_at)
