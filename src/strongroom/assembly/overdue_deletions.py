"""Keys whose waiting period is over in a database of an earlier state: a restored one, or one that was rolled back.

Whether their deletion was cancelled since is not known. The keeper would erase them at once, before an operator can
cancel it again. So they get a new waiting period.
"""

from collections.abc import Sequence

from strongroom.errors import QuarantinedRecordException
from strongroom.keys import lifecycle
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.store.protocol import Reader, Transaction

WAITING_DAYS = lifecycle.MIN_DELETION_WINDOW_DAYS
"""The new waiting period, in days."""
MOST_NAMED = 1000
"""The most keys that a record names in a list. It counts all."""

_BATCH = 500


def intact_key(reader: Reader, locator: KeyLocator) -> KmsKey | None:
    """Return a key; None if it does not exist, or if a record of it is damaged, also of its material.

    Such a key cannot be written again, and stays as it is.
    """
    try:
        key = reader.key(locator)
    except QuarantinedRecordException:
        return None
    # Outside of a transaction, a key is read without material that is damaged.
    return None if key is None or key.damaged else key


def overdue_keys(reader: Reader, now: float) -> list[KeyLocator]:
    """Return the keys whose waiting period is over at ``now``, in epoch seconds, without damaged ones."""
    limit = _BATCH
    while len(due := reader.keys_to_delete(now, limit)) == limit:
        limit *= 2
    return [each for each in due if intact_key(reader, each) is not None]


def some_wait_anew(transaction: Transaction, now: float, skipped: int = 0) -> tuple[int, bool]:
    """Give some hundred overdue keys a new waiting period from ``now`` on; return what to do next.

    That is how many keys to skip, because they are damaged, and whether there may be more.
    """
    due = transaction.keys_to_delete(now, _BATCH + skipped)
    keys = [key for locator in due if (key := intact_key(transaction, locator)) is not None]
    for key in keys:
        transaction.save_key(key, lifecycle.schedule_deletion(key, WAITING_DAYS, now))
    return len(due) - len(keys), bool(keys)


def all_wait_anew(transaction: Transaction, now: float) -> None:
    """Give all overdue keys a new waiting period from ``now`` on, in one transaction."""
    skipped, more = 0, True
    while more:
        skipped, more = some_wait_anew(transaction, now, skipped)


def listed(arns: Sequence[str]) -> dict[str, object]:
    """Return keys as a record lists them."""
    return {"count": len(arns), "keys": list(arns[:MOST_NAMED])}
