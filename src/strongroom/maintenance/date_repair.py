"""Repair of dates: a rotation or deletion that a wrong wall clock has dated further ahead than it can be."""

from strongroom.keys import lifecycle
from strongroom.keys.arns import KeyLocator
from strongroom.maintenance.duty import Duty
from strongroom.operations.kms.key_changes import NO_CHANGES, KeyChanges, Plan, PlannedEvent
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.operations.kms.related_keys import KeyVersions, with_relatives
from strongroom.store.protocol import Reader
from strongroom.trusted_time import Moment


def _find(reader: Reader, moment: Moment, limit: int) -> list[KeyLocator]:
    return reader.keys_dated_ahead(moment.latest, lifecycle.MAX_AHEAD, limit)


def _plan(locator: KeyLocator, moment: Moment) -> Plan:
    def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
        key = reader.key(locator)
        if key is None or (after := lifecycle.with_dates_in_reach(key, moment.latest)) == key:
            return NO_CHANGES
        rotated = after.rotation != key.rotation
        return KeyChanges(
            saved=tuple(with_relatives(reader, prepared, KeyVersions(key, after))),
            events=(PlannedEvent("RepairKeyDates", locator, {}, synchronized=rotated and bool(key.relatives)),),
        )

    return plan


DATE_REPAIR = Duty("repaired", "a wrong clock had dated the next rotation or deletion too late; repaired", _find, _plan)
"""Repairs dates. It is done when the wall clock was confirmed after a start, and when it has come back."""
