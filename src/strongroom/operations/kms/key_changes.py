"""Changes of one KMS key, made durable together with what they mean for its relatives."""

from collections.abc import Callable

from strongroom.keys import imported
from strongroom.keys.arns import not_found
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.states import require_state
from strongroom.operations.context import Context
from strongroom.operations.kms.key_material import destroy
from strongroom.operations.kms.related_keys import save_with_relatives
from strongroom.snapshot.active_key import ActiveKey
from strongroom.store.protocol import Transaction


def modify(context: Context, active: ActiveKey, transition: Callable[[KmsKey], KmsKey]) -> KmsKey:
    """Change a key durably and return it as it is now.

    ``transition`` gets the key as the store has it, its state checked again: what the snapshot showed may be gone.
    """
    with context.backends.store.transaction() as transaction:
        before = latest(context, transaction, active)
        after = transition(before)
        gone = [] if after == before else save_with_relatives(transaction, context.backends.vault, before, after)
    destroy(context.backends.vault, gone)
    return after


def latest(context: Context, transaction: Transaction, active: ActiveKey) -> KmsKey:
    """Return a key as the transaction sees it; raises NotFoundException, or what its state forbids."""
    key = transaction.key(active.key.locator)
    if key is None:
        raise not_found(active.key.locator)
    if context.rule is not None:
        require_state(context.rule, imported.as_of(key, context.now).state, key.arn)
    return key
