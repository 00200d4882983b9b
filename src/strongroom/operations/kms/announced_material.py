"""Announces key material that a back end is about to make and to keep, so that it is never left there without a key.

An announcement is a destruction that is due later (``store.subjects.destructions``). The transaction in which a key
gets the material removes it. If the process is killed before, or cannot destroy what it does not need, the keeper does.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import nullcontext

from strongroom.errors import KmsError
from strongroom.keys.kms_key import KmsKey
from strongroom.operations.kms.key_material import OwnedToken
from strongroom.store.protocol import Store, Transaction
from strongroom.store.subjects.destructions import COMMIT_TIME, ErasedMaterial

logger = logging.getLogger(__name__)


class AnnouncedMaterial:
    """The announcements of one change. ``latest_time`` returns the latest that it can be now, in epoch seconds."""

    def __init__(self, store: Store, latest_time: Callable[[], float]) -> None:
        self._store = store
        self._latest_time = latest_time
        self._due_at = 0.0
        self._objects: dict[bytes, ErasedMaterial] = {}

    def announce(self, made: OwnedToken) -> None:
        """Announce material before it is made; raises as ``Store.write``, and then it must not be made."""
        erased = ErasedMaterial(made.store_id, made.token, made.owner, uncommitted=True)
        if not self._objects:
            self._due_at = self._latest_time() + COMMIT_TIME
        settling = self._store.settling
        # No node has read anything that this makes wrong, so it need not be known to all.
        with nullcontext() if settling is None else settling.deferred():
            self._store.write(lambda transaction: transaction.add_destruction(erased, self._due_at))
        self._objects[made.token] = erased

    def confirm(self, transaction: Transaction, keys: Iterable[KmsKey]) -> None:
        """Withdraw the announcements of what keys get in a transaction.

        Raises WriteConflict if this process was so slow that the keeper has begun to destroy it.
        """
        if self._objects:
            tokens = {material.token for key in keys for material in key.materials}
            for token, erased in self._objects.items():
                if token in tokens:
                    transaction.withdraw_destruction(erased, self._due_at)

    def forget(self, tokens: Iterable[OwnedToken]) -> None:
        """Withdraw the announcements of what was destroyed again; raises nothing."""
        gone = [self._objects[each.token] for each in tokens if each.token in self._objects]

        def act(transaction: Transaction) -> None:
            for each in gone:
                transaction.remove_destruction(each)

        if gone:
            try:
                self._store.write(act)
            except KmsError as error:
                # The keeper destroys it once more, which does no harm.
                logger.info("that unused key material was destroyed could not be noted yet (%s)", error.message)
