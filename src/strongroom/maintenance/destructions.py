"""Destructions: destroys what was erased from the database and is still where a key back end keeps it.

The transaction that erases key material, or a domain key in a token, notes what is to be destroyed. The process that
has committed it destroys it at once. What it could not, because the token was away or it was killed, is done here, by
any node. So is what a process has made and, an hour after it announced it, has given to no key. Destroying what is gone
already does nothing, so it does no harm if two nodes do it.
"""

import logging
from typing import Protocol

from msgspec.structs import replace

from strongroom.audit.cloudtrail import event_time
from strongroom.clock import Clock
from strongroom.errors import KmsError, QuarantinedRecordException
from strongroom.keys.custom_key_stores import ConnectionState, CustomKeyStore
from strongroom.operations.context import Backends
from strongroom.operations.kms.key_material import destroy_material
from strongroom.problems import Problems, Subject
from strongroom.service.counters import KeeperCounters
from strongroom.store.protocol import Transaction
from strongroom.store.subjects.destructions import (
    Backlog,
    Destruction,
    ErasedDomainKey,
    ErasedMaterial,
    ErasedObject,
)
from strongroom.trusted_time import Moment

logger = logging.getLogger(__name__)

_BATCH = 50
_AT_ONCE = 5.0
"""For how many seconds a round begins to destroy. A token that is away takes seconds for each answer."""
_FIRST_PAUSE, _LONGEST_PAUSE = 10.0, 3600.0
_DISCONNECTED_PAUSE = 60.0
_REPORTED = 3600.0
"""After how many seconds an operator has to know that something could not be destroyed."""


class DomainKeyObjects(Protocol):
    """Destroys what domain keys had in the hardware token."""

    def opens(self, scope: str) -> bool:
        """Tell whether the domain keys of a scope are opened here."""
        ...

    def destroy_object(self, erased: ErasedDomainKey) -> None:
        """Destroy an object; raises KmsError, and DataFolderError if a domain key that is opened here has it."""
        ...


class Destructions:
    """Does the destructions that are due.

    ``domain_keys`` destroys what domain keys had in the token. Without it, such work is left to others.
    """

    def __init__(
        self,
        backends: Backends,
        domain_keys: DomainKeyObjects | None,
        clock: Clock,
        problems: Problems,
        counters: KeeperCounters,
    ) -> None:
        self._backends = backends
        self._domain_keys = domain_keys
        self._clock = clock
        self._problems = problems
        self._counters = counters
        self._reason = ""
        """Why the last one failed."""

    def run(self, moment: Moment) -> None:
        """Begin those that are due, for some seconds, and report what has been left for long; raises KmsError."""
        deadline = self._clock.timer() + _AT_ONCE
        left: set[str] = set()
        while True:
            with self._backends.store.read() as reader:
                backlog = reader.destruction_backlog()
                due = reader.destructions(moment.earliest, _BATCH + len(left)) if backlog.count else []
            # What this node cannot do stays due, and must not hide what comes after it.
            fresh = [each for each in due if each.erased.object_id not in left]
            for each in fresh:
                if self._clock.timer() < deadline and not self._begin(each, moment.earliest):
                    left.add(each.erased.object_id)
            if not fresh or self._clock.timer() >= deadline:
                break
        self._report(backlog, moment.earliest)

    def _begin(self, work: Destruction, now: float) -> bool:
        """Do one destruction, or put it off; return False if another process has begun it or this one cannot do it."""
        erased = work.erased
        if isinstance(erased, ErasedDomainKey) and not self._may_destroy(erased):
            return False
        since = now if work.since is None else min(work.since, now)
        try:
            store = self._store_of(erased)
        except QuarantinedRecordException as error:
            # It must not keep those behind it waiting. An operator is told of it as of one whose attempts all fail.
            self._reason = str(error)
            return self._claim(work, replace(work, due_at=now + _DISCONNECTED_PAUSE, since=since))
        if isinstance(erased, ErasedMaterial) and erased.store_id is not None:
            if store is None:
                logger.error("%s is left where it is, because its custom key store was deleted", _named(erased))
                self._backends.store.write(lambda transaction: transaction.remove_destruction(erased))
                return True
            if store.state is not ConnectionState.CONNECTED:
                # Its owner has disconnected it, and knows what that means.
                return self._claim(work, replace(work, due_at=now + _DISCONNECTED_PAUSE))
        # As long as it has been tried: each pause is about as long as all before it together.
        pause = min(max(now - since, _FIRST_PAUSE), _LONGEST_PAUSE)
        if not self._claim(work, replace(work, due_at=now + pause, since=since)):
            return False
        self._destroy(erased)
        return True

    def _may_destroy(self, erased: ErasedDomainKey) -> bool:
        if self._domain_keys is None or erased.shared:
            return False
        # Whether the domain key has an uncommitted object is known only where it is opened.
        return not erased.uncommitted or self._domain_keys.opens(erased.scope)

    def _claim(self, before: Destruction, after: Destruction) -> bool:
        """Have other processes leave a destruction to this one for a while; return False if it must not be done."""
        erased = before.erased

        def act(transaction: Transaction) -> bool | None:
            if transaction.is_in_use(erased):
                transaction.remove_destruction(erased)
                return None
            return transaction.defer_destruction(before, after)

        claimed = self._backends.store.write(act)
        if claimed is None and erased.uncommitted:
            logger.info("%s belongs to its key after all", _named(erased))
        elif claimed is None:
            logger.error("%s was to be destroyed, but the database refers to it; it is kept", _named(erased))
        return bool(claimed)

    def _destroy(self, erased: ErasedObject) -> None:
        """Destroy an object, and note that it is done. A failure is logged, seldom if it repeats."""
        try:
            if isinstance(erased, ErasedMaterial):
                destroy_material(self._backends.key_backends, erased)
            elif self._domain_keys is not None:
                self._domain_keys.destroy_object(erased)
        except Exception as error:
            self._reason = (error.explanation if isinstance(error, KmsError) else None) or str(error)
            logger.error(  # noqa: TRY400 - what the token says is in the message
                "%s could not be destroyed, and is tried again: %s",
                _named(erased),
                self._reason,
                exc_info=None if isinstance(error, KmsError) else error,
            )
            return
        self._backends.store.write(lambda transaction: transaction.remove_destruction(erased))
        self._counters.destroyed += 1
        logger.info("%s is destroyed", _named(erased))

    def _store_of(self, erased: ErasedObject) -> CustomKeyStore | None:
        if isinstance(erased, ErasedDomainKey) or erased.store_id is None:
            return None
        with self._backends.store.read() as reader:
            return reader.custom_key_store(erased.owner.account, erased.owner.region, erased.store_id)

    def _report(self, backlog: Backlog, now: float) -> None:
        self._counters.destructions_left = backlog.count
        self._counters.destructions_since = backlog.since or 0.0
        if backlog.since is None or now - backlog.since < _REPORTED:
            self._problems.resolve(Subject.DESTRUCTIONS)
            return
        why = f": {self._reason}" if self._reason else ""
        self._problems.report(
            Subject.DESTRUCTIONS,
            f"key material that no key has is still in its token or cluster since {event_time(backlog.since)} "
            f"({_count(backlog.count)}); it is destroyed once that can be reached{why}",
        )


def _count(objects: int) -> str:
    return "1 object" if objects == 1 else f"{objects} objects"


def _named(erased: ErasedObject) -> str:
    if isinstance(erased, ErasedDomainKey):
        return f"the object {erased.object_id} of domain key {erased.version} of `{erased.scope}`"
    owner, why = erased.owner, "unused" if erased.uncommitted else "erased"
    return (
        f"the {why} key material {owner.material_id} of key {owner.key_id} (account {owner.account}, "
        f"Region {owner.region}, key store {erased.store_id or 'default'})"
    )
