"""Changes of KMS keys: the one way in which keys and their key material are changed, by operations and by the keeper.

A change is described by a *plan*: a function that reads the keys and returns what is to be written. It has no other
effect, so it can be run as often as needed: to find out which key material must be prepared, and in the transaction
itself, which may be run again after a conflict. Key back ends are only called outside of transactions.
"""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from typing import TypeAlias

import msgspec

from strongroom.errors import DependencyTimeoutException, KmsError, LimitExceededException, WriteOutcomeUnknown
from strongroom.events.key_events import KeyEvent, deletion_of, expiration_of, rotation_of
from strongroom.keys import imported
from strongroom.keys.arns import KeyLocator, not_found
from strongroom.keys.kms_key import KeyMaterial, KmsKey
from strongroom.keys.specs import Origin
from strongroom.keys.states import require_state
from strongroom.operations.context import Context
from strongroom.operations.kms.announced_material import AnnouncedMaterial
from strongroom.operations.kms.key_material import destroy_erased, erased_material, removed
from strongroom.operations.kms.prepared_material import MaterialMissing, PreparedMaterial
from strongroom.operations.kms.related_keys import KeyVersions, with_relatives
from strongroom.operations.planned_events import PlannedEvent, RecordEvents
from strongroom.snapshot.active_key import ActiveKey
from strongroom.store.protocol import Reader, Store, Transaction
from strongroom.store.records import AliasRecord, DamagedKey
from strongroom.store.scopes import KeyScope, Scope
from strongroom.store.subjects.destructions import ErasedMaterial

logger = logging.getLogger(__name__)

_MAX_ATTEMPTS = 5
"""How often a change is tried while others keep changing its keys. Alone, a rotation of related keys needs three."""


class KeyChanges(msgspec.Struct, frozen=True):
    """What one transaction writes. ``events`` are recorded in it, where the service makes the change by itself.

    ``customer_keys`` is how many customer managed keys an account may have in a Region, with those that are added. Of
    keys in ``erased_damaged``, all records are removed, also those that cannot be read.
    """

    saved: tuple[KeyVersions, ...] = ()
    added: tuple[KmsKey, ...] = ()
    erased: tuple[KmsKey, ...] = ()
    erased_damaged: tuple[DamagedKey, ...] = ()
    new_aliases: tuple[AliasRecord, ...] = ()
    events: tuple[PlannedEvent, ...] = ()
    customer_keys: int | None = None


Plan: TypeAlias = Callable[[Reader, PreparedMaterial], KeyChanges]
"""Reads keys and returns what is to be written; raises KmsError to refuse, MaterialMissing for want of material."""

NO_CHANGES = KeyChanges()

EXPIRED = "DeleteExpiredKeyMaterial"
"""The name of the event that imported key material has expired."""


def expiry_event(key: KmsKey, material: KeyMaterial, *, synchronized: bool = False) -> PlannedEvent:
    """Return the event that imported material of a key has expired, and is erased."""
    return PlannedEvent(
        EXPIRED,
        key.locator,
        {"keyMaterialId": material.material_id},
        synchronized=synchronized,
        occasion=f"{material.material_id} expired {material.expires_at}",
    )


def prepare(store: Store, prepared: PreparedMaterial, plan: Plan) -> KeyChanges:
    """Prepare the key material that a plan needs; return what the plan would write now.

    Raises what the plan and the key back ends raise, and DependencyTimeoutException if the keys keep changing.
    """
    for _ in range(_MAX_ATTEMPTS):
        try:
            with store.read() as reader:
                return plan(reader, prepared)
        except MaterialMissing as missing:
            needs = missing.needs
        prepared.make(needs)
    raise _keeps_changing()


def change_keys(store: Store, prepared: PreparedMaterial, plan: Plan, *scopes: Scope) -> KeyChanges:
    """Make a plan's changes durable, destroy the material that the keys have lost, and return the changes.

    What cannot be destroyed now is left to the keeper (``erased_material``).

    Raises what the plan, the key back ends and ``Store.write`` raise, and DependencyTimeoutException if the keys keep
    changing.
    """

    def act(transaction: Transaction) -> KeyChanges:
        changes = plan(transaction, prepared)
        prepared.intend(_events(changes))
        return _write(transaction, prepared, changes)

    for _ in range(_MAX_ATTEMPTS):
        try:
            return _commit(store, prepared, act, scopes)
        except MaterialMissing:
            prepare(store, prepared, plan)
    raise _keeps_changing()


def change_keys_recorded(
    store: Store, prepared: PreparedMaterial, plan: Plan, record: RecordEvents, *scopes: Scope
) -> KeyChanges:
    """Do what ``change_keys`` does, with the plan's events recorded; do nothing if the plan changes nothing.

    A record of something that then failed is better than something done without a record. So events are recorded
    before the commit: in the transaction, when it is certain that the change is still to be made, and once
    however often the transaction is run. If it fails in the end, the change is made later, by this or another process,
    and recorded again; ``PlannedEvent.occasion`` tells that both records are of one event.
    """
    recorded: tuple[PlannedEvent, ...] = ()

    def act(transaction: Transaction) -> KeyChanges:
        nonlocal recorded
        changes = plan(transaction, prepared)
        if changes == NO_CHANGES:
            prepared.withdraw_events()
            return changes
        if changes.events != recorded:
            record(changes.events)
            recorded = changes.events
        prepared.intend(_events(changes))
        return _write(transaction, prepared, changes)

    for _ in range(_MAX_ATTEMPTS):
        # Most keys that another process has changed meanwhile are noticed here, without a lock.
        if prepare(store, prepared, plan) == NO_CHANGES:
            return NO_CHANGES
        try:
            return _commit(store, prepared, act, scopes)
        except MaterialMissing:
            continue
    raise _keeps_changing()


def change_key(
    context: Context, active: ActiveKey, prepared: PreparedMaterial, transition: Callable[[KmsKey], KmsKey]
) -> KeyVersions:
    """Change one key, with its relatives, durably; return it before and after.

    ``transition`` gets the key as the store has it, its state checked again: it may have changed since it was cached.
    It may be called more than once, so it must have no effect but its result.
    """
    plan = plan_for_key(context, active, transition)
    return change_keys(context.backends.store, prepared, plan, scope_of(active.key.locator)).saved[0]


def modify(context: Context, active: ActiveKey, transition: Callable[[KmsKey], KmsKey]) -> KmsKey:
    """Change a key durably, where the change itself needs no new key material; return the key after the change.

    ``transition`` is as in ``change_key``.
    """
    with prepared_material(context) as prepared:
        return change_key(context, active, prepared, transition).after


def plan_for_key(context: Context, active: ActiveKey, transition: Callable[[KmsKey], KmsKey]) -> Plan:
    """Return the plan for a change of one key with its relatives; ``transition`` is as in ``change_key``."""

    def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
        before = latest(context, reader, active)
        changed = KeyVersions(before, transition(before))
        if not before.multi_region:
            return KeyChanges(saved=(changed,))
        return KeyChanges(saved=tuple(with_relatives(reader, prepared, changed)))

    return plan


def prepared_material(context: Context) -> PreparedMaterial:
    """Return a place for the key material of one change."""
    backends = context.backends
    # As a waiting period: it must not be over too early because the clock was set back for a while.
    announced = AnnouncedMaterial(backends.store, partial(backends.latest_time, context.now))
    return PreparedMaterial(backends.key_backends, backends.entropy, backends.events, announced)


def scope_of(locator: KeyLocator) -> KeyScope:
    """Return the scope of a write that changes a key and its relatives."""
    return KeyScope(locator.account, locator.key_id)


def latest(context: Context, reader: Reader, active: ActiveKey) -> KmsKey:
    """Return a key as the reader sees it; raises NotFoundException, or the refusal if its state forbids the call."""
    key = reader.key(active.key.locator)
    if key is None:
        raise not_found(active.key.locator)
    if context.rule is not None:
        # Only imported material expires.
        state = imported.state_at(key, context.now) if key.origin is Origin.EXTERNAL else key.state
        require_state(context.rule, state, key.arn)
    return key


def too_many_keys(limit: int | None) -> LimitExceededException:
    """Return the refusal of a key when its account has as many as it may have."""
    return LimitExceededException(f"An account can have at most {limit} KMS keys in a Region.")


def _write(transaction: Transaction, prepared: PreparedMaterial, changes: KeyChanges) -> KeyChanges:
    prepared.confirm(transaction, (*changes.added, *(after for _, after in changes.saved)))
    for key in changes.added:
        if not transaction.add_key(key, changes.customer_keys):
            raise too_many_keys(changes.customer_keys)
    for alias in changes.new_aliases:
        transaction.put_alias(alias, None)
    _erase(transaction, prepared, changes)
    for before, after in changes.saved:
        if before != after:
            transaction.save_key(before, after)
    return changes


def _erase(transaction: Transaction, prepared: PreparedMaterial, changes: KeyChanges) -> None:
    for key in changes.erased:
        transaction.erase_key(key)
    for damaged in changes.erased_damaged:
        transaction.erase_damaged_key(damaged.locator)
    for erased in _erased(prepared, changes):
        transaction.add_destruction(erased)


def _erased(prepared: PreparedMaterial, changes: KeyChanges) -> list[ErasedMaterial]:
    """Return the material that keys lose and that their back ends keep."""
    gone = (
        *(removed(before, after) for before, after in changes.saved if before.materials != after.materials),
        *(removed(key, None) for key in changes.erased),
        # A damaged record may name the material of another key, so what it names is not destroyed.
        *(removed(damaged.intact, None) for damaged in changes.erased_damaged if damaged.intact is not None),
    )
    return erased_material(prepared.key_backends, chain.from_iterable(gone)) if gone else []


def _events(changes: KeyChanges) -> tuple[KeyEvent, ...]:
    """Return what other programs are told of changes once they are committed."""
    rotations = (rotation_of(before, after) for before, after in changes.saved)
    deletions = (*(key.locator for key in changes.erased), *(each.locator for each in changes.erased_damaged))
    return (
        *(each for each in rotations if each is not None),
        *(deletion_of(locator) for locator in deletions),
        *(
            expiration_of(each.locator, str(each.details["keyMaterialId"]), each.occasion)
            for each in changes.events
            if each.name == EXPIRED
        ),
    )


def _commit(
    store: Store, prepared: PreparedMaterial, act: Callable[[Transaction], KeyChanges], scopes: Iterable[Scope]
) -> KeyChanges:
    """Run one write, and destroy the material that it took from keys.

    Only after the errors that end ``in_doubt`` is it certain that nothing was committed.
    """
    prepared.in_doubt = True
    try:
        changes = store.write(act, *scopes)
    except WriteOutcomeUnknown as error:
        # The store has logged what went wrong.
        logger.error(  # noqa: TRY400 - a traceback shows nothing more
            "a write may have been committed; material that it may have removed is kept: %s (%s)", scopes, error.message
        )
        raise
    except (KmsError, MaterialMissing):
        prepared.in_doubt = False
        prepared.withdraw_events()
        raise
    prepared.use((*changes.added, *(after for _, after in changes.saved)))
    prepared.in_doubt = False
    prepared.send_events()
    if erased := _erased(prepared, changes):
        destroy_erased(store, prepared.key_backends, erased)
    return changes


def _keeps_changing() -> DependencyTimeoutException:
    return DependencyTimeoutException("The key was changed by other requests at the same time. Try again.")
