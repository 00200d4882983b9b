"""When the keeper has something to do next, so that time can pass in steps from one due date to the next."""

from collections.abc import Iterable, Iterator

from strongroom.errors import QuarantinedRecordException
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.store.protocol import Readable, Reader


def next_due(store: Readable, until: float) -> float | None:
    """Return the earliest time at which a key is rotated, deleted, or loses material; None if that is after ``until``.

    Times are epoch seconds. A key with a damaged record has no due dates here.
    """
    with store.read() as reader:
        finds = (
            (reader.keys_to_rotate, _rotations),
            (reader.keys_with_expired_material, _expiries),
            (reader.keys_to_delete, _deletions),
        )
        found = (at for find, dates in finds for key in _keys(reader, find(until, 1)) for at in dates(key))
        return min((at for at in found if at is not None and at <= until), default=None)


def _keys(reader: Reader, locators: Iterable[KeyLocator]) -> Iterator[KmsKey]:
    for locator in locators:
        try:
            key = reader.key(locator)
        except QuarantinedRecordException:
            continue
        if key is not None:
            yield key


def _rotations(key: KmsKey) -> Iterable[float | None]:
    return (key.rotation.next_at,)


def _expiries(key: KmsKey) -> Iterable[float | None]:
    return (material.expires_at for material in key.materials if material.token is not None)


def _deletions(key: KmsKey) -> Iterable[float | None]:
    return (key.deletion_at,)
