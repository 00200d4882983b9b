"""The keeper: does what is due.

It rotates keys whose period is over, erases imported key material that has expired, destroys keys whose waiting period
is over, and signs where the audit log stands.

Everything it needs to know is in the store, so it catches up after any downtime: a deletion that came due while the
service was down happens on the next round, and a key that missed several rotations rotates once.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

from strongroom.audit.sink import AuditSink
from strongroom.clock import Clock
from strongroom.errors import KMSInternalException
from strongroom.keys import imported, lifecycle, multi_region
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey, RotationType
from strongroom.operations.context import Backends
from strongroom.operations.kms.key_material import Removed, destroy, generate_material, removed
from strongroom.operations.kms.related_keys import save_with_relatives
from strongroom.service.audit_trail import AuditTrail
from strongroom.service.counters import KeeperCounters
from strongroom.store.protocol import Reader, Transaction
from strongroom.usage.access_key_usage import AccessKeyUsage

P = ParamSpec("P")
Find = Callable[[Reader, int], list[KeyLocator]]
"""Lists at most so many keys that are due."""

logger = logging.getLogger(__name__)

_BATCH = 100
_CHANGES_KEPT = 10_000


class Keeper:
    """Runs the service's own duties, one round at a time."""

    def __init__(
        self, backends: Backends, trail: AuditTrail, log: AuditSink, clock: Clock, usage: AccessKeyUsage
    ) -> None:
        self._backends = backends
        self._trail = trail
        self._log = log
        self._clock = clock
        self._usage = usage
        self.counters = KeeperCounters()

    def run(self) -> None:
        """Do everything that is due now. What fails is logged, and tried again next round."""
        with self._round():
            self._do_what_is_due()
            self._write_down()
            self._guarded(self._trim)
            self._guarded(self._scrub)

    def upkeep(self) -> None:
        """Do what is each worker's own, every round, and once more before it stops.

        That is to look at the store's files, write down which keys and access keys were used, sign the audit log so
        far, and scrub what this worker erased: DeleteImportedKeyMaterial comes to any of them, and only it knows.
        """
        with self._round():
            self._write_down()
            self._guarded(self._scrub)

    @contextmanager
    def _round(self) -> Iterator[None]:
        begun = self._clock.timer()
        yield
        self.counters.rounds += 1
        self.counters.last_duration = self._clock.timer() - begun
        self.counters.last_end = self._clock.now()

    def _do_what_is_due(self) -> None:
        now = self._clock.now()
        for locator in self._due(lambda reader, limit: reader.keys_to_rotate(now, limit)):
            self._guarded(self._rotate, locator, now)
        for locator in self._due(lambda reader, limit: reader.keys_with_expired_material(now, limit)):
            self._guarded(self._expire, locator, now)
        for locator in self._due(lambda reader, limit: reader.keys_to_delete(now, limit)):
            self._guarded(self._delete, locator, now)

    def _write_down(self) -> None:
        self._guarded(self._backends.store.confirm)
        self._guarded(self._usage.write)
        self._guarded(self._write_key_uses)
        self._guarded(self._log.checkpoint)

    def _write_key_uses(self) -> None:
        self._backends.key_uses.write(self._log.mark())

    def _due(self, find: Find) -> Iterator[KeyLocator]:
        """Yield what is due, batch after batch, each key once; reads on behind those that failed."""
        seen: set[KeyLocator] = set()
        limit = _BATCH
        while True:
            batch: list[KeyLocator] = []
            self._guarded(self._find, find, batch, limit)
            fresh = [locator for locator in batch if locator not in seen]
            seen.update(fresh)
            yield from fresh
            if len(batch) < limit:
                return
            limit = _BATCH + len(batch) - len(fresh)

    def _find(self, find: Find, batch: list[KeyLocator], limit: int) -> None:
        with self._backends.store.read() as reader:
            batch.extend(find(reader, limit))

    def _rotate(self, locator: KeyLocator, now: float) -> None:
        with self._backends.store.transaction() as transaction:
            key = transaction.key(locator)
            if key is None or not lifecycle.rotation_due(key, now):
                return
            backends = self._backends
            material_id, token = generate_material(backends.vault, backends.entropy, locator, key.spec)
            rotated = lifecycle.rotate(key, material_id, token, RotationType.AUTOMATIC, now)
            gone = save_with_relatives(transaction, backends.vault, key, rotated)
            if key.relatives:
                self._trail.synchronized(key, now)
            self._record("RotateKey", key, {"rotationType": "AUTOMATIC", "keyMaterialId": material_id}, now)
        destroy(backends.vault, gone)
        self.counters.keys["rotated"] += 1
        logger.info("rotated %s", locator.arn)

    def _expire(self, locator: KeyLocator, now: float) -> None:
        with self._backends.store.transaction() as transaction:
            key = transaction.key(locator)
            if key is None or (after := imported.as_of(key, now)) == key:
                return
            gone = save_with_relatives(transaction, self._backends.vault, key, after)
            for material_id in imported.lost(key, after):
                self._record("DeleteExpiredKeyMaterial", key, {"keyMaterialId": material_id}, now)
        destroy(self._backends.vault, gone)
        self.counters.keys["expired"] += 1
        logger.info("erased expired key material of %s", locator.arn)

    def _delete(self, locator: KeyLocator, now: float) -> None:
        with self._backends.store.transaction() as transaction:
            key = transaction.key(locator)
            if key is None or not lifecycle.deletion_due(key, now):
                return
            transaction.erase_key(key)
            gone = removed(key, None) + self._forget_replica(transaction, key, now)
            self._record("DeleteKey", key, {}, now)
        destroy(self._backends.vault, gone)
        self.counters.keys["deleted"] += 1
        logger.info("deleted %s", locator.arn)

    def _forget_replica(self, transaction: Transaction, gone: KmsKey, now: float) -> list[Removed]:
        """Tell the relatives of a deleted replica; the waiting period of a primary that waited for it may start."""
        primary = transaction.key(multi_region.primary_of(gone)) if gone.is_replica else None
        if primary is None:
            return []
        left = multi_region.without_replica(primary, gone.region, now)
        return save_with_relatives(transaction, self._backends.vault, primary, left)

    def _record(self, event: str, key: KmsKey, details: dict[str, object], now: float) -> None:
        if not self._log.writable():
            raise KMSInternalException
        # Before the commit: a record of something that then failed beats something done without a record.
        self._trail.event(event, key, details, now)
        self._log.flush()

    def _trim(self) -> None:
        self._backends.store.trim_changes(_CHANGES_KEPT)

    def _scrub(self) -> None:
        self._backends.store.scrub()

    def _guarded(self, act: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run one piece of work, so that its failure does not keep the others from being done."""
        try:
            act(*args, **kwargs)
        except Exception:
            self.counters.failures += 1
            logger.exception("the keeper could not finish %s %s", act.__name__, args)
