"""What happens to KMS keys, as events of AWS KMS.

A change of keys says what its events are before it is committed, and each is kept as an *intention* until the outcome
is known (``spool``). ``happened`` tells the outcome from what is stored, after a crash too. So an event is sent exactly
if its change was committed.

The id of an event follows from what it is about: a key is deleted once, and made current with one material once. So
whatever is told of it again has the same id.
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from strongroom.audit.cloudtrail import event_time
from strongroom.audit.service_events import event_id_on
from strongroom.errors import QuarantinedRecordException
from strongroom.event_destinations import DELETION, EXPIRATION, ROTATION
from strongroom.events.event import AWS_KMS, Event
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.store.protocol import Reader

_KEY_ID, _CURRENT, _EXPIRED = "key-id", "current-key-material-id", "key-material-id"


class KeyEvent(msgspec.Struct, frozen=True):
    """Something that happens to a key with one change, and to this key only once on an ``occasion``."""

    detail_type: str
    locator: KeyLocator
    occasion: str = ""
    more: Mapping[str, object] = {}

    def at(self, now: float) -> Event:
        """Return the event, as of ``now`` (epoch seconds)."""
        locator = self.locator
        return Event(
            id=event_id_on(self.occasion, self.detail_type, locator.arn),
            detail_type=self.detail_type,
            source=AWS_KMS,
            account=locator.account,
            time=event_time(now),
            region=locator.region,
            resources=(locator.arn,),
            detail={_KEY_ID: locator.key_id, **self.more},
        )


class KeyEvents(Protocol):
    """Takes the events of changes. Nothing raises: a change must not fail because of its events."""

    def intend(self, events: tuple[KeyEvent, ...]) -> None:
        """Keep the events of a change that is about to be committed."""
        ...

    def commit(self, events: tuple[KeyEvent, ...]) -> None:
        """Send the events: their change was committed."""
        ...

    def withdraw(self, events: tuple[KeyEvent, ...]) -> None:
        """Forget the events: their change was not committed."""
        ...


class NoKeyEvents:
    """Where no events are sent."""

    def intend(self, events: tuple[KeyEvent, ...]) -> None:
        """Do nothing."""

    def commit(self, events: tuple[KeyEvent, ...]) -> None:
        """Do nothing."""

    def withdraw(self, events: tuple[KeyEvent, ...]) -> None:
        """Do nothing."""


def rotation_of(before: KmsKey, after: KmsKey) -> KeyEvent | None:
    """Return the rotation that lies between two versions of a key; None if there is none.

    A replica is not rotated: it gets what its primary was rotated to.
    """
    old, new = before.current_material, after.current_material
    if new is None or new.rotation_type is None or after.is_replica or (old and old.material_id == new.material_id):
        return None
    more: dict[str, object] = {"key-origin": str(after.origin), "rotation-type": str(new.rotation_type)}
    if old is not None:
        more["previous-key-material-id"] = old.material_id
    return KeyEvent(ROTATION, after.locator, new.material_id, {**more, _CURRENT: new.material_id})


def deletion_of(locator: KeyLocator) -> KeyEvent:
    """Return the deletion of a key."""
    return KeyEvent(DELETION, locator)


def expiration_of(locator: KeyLocator, material_id: str, occasion: str) -> KeyEvent:
    """Return the expiry of imported key material. AWS's event does not name the material.

    It can be imported and expire again, so the ``occasion`` has to say which expiry this is.
    """
    return KeyEvent(EXPIRATION, locator, occasion, {_EXPIRED: material_id})


def happened(reader: Reader, event: Event) -> bool:
    """Tell whether the change of an event was committed, as far as what is stored tells it."""
    locator = KeyLocator(event.account, event.region, str(event.detail.get(_KEY_ID)))
    try:
        key = reader.key(locator)
    except QuarantinedRecordException:
        # It is there, and what it was cannot be read now.
        return False
    if event.detail_type == DELETION:
        return key is None and reader.damaged_key(locator) is None
    if key is None:
        return False
    if event.detail_type == ROTATION:
        return _has_been_current(key, str(event.detail.get(_CURRENT)))
    return not _is_there(key, str(event.detail.get(_EXPIRED)))


def _has_been_current(key: KmsKey, material_id: str) -> bool:
    return any(each.material_id == material_id and each.permanent for each in key.materials)


def _is_there(key: KmsKey, material_id: str) -> bool:
    return any(each.material_id == material_id and each.token is not None for each in key.materials)
