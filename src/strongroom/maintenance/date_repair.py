"""Repair of dates that were written with a wrong wall clock.

It brings back rotations and deletions that are further ahead than they can be, and begins waiting periods anew that
began while the clock was behind after a start of the machine.
"""

from strongroom.keys import lifecycle
from strongroom.keys.arns import KeyLocator
from strongroom.maintenance.duty import Duty, Regions
from strongroom.operations.kms.key_changes import NO_CHANGES, KeyChanges, Plan
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.operations.kms.related_keys import KeyVersions, with_relatives
from strongroom.operations.planned_events import PlannedEvent
from strongroom.store.protocol import Reader
from strongroom.trusted_time import Moment


def _find(reader: Reader, moment: Moment, limit: int, regions: Regions) -> list[KeyLocator]:
    return reader.misdated_keys(moment.latest, lifecycle.MAX_AHEAD, moment.unsure_since, limit, regions)


def _plan(locator: KeyLocator, moment: Moment) -> Plan:
    def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
        key = reader.key(locator)
        if key is None or (after := lifecycle.with_dates_repaired(key, moment.latest, moment.unsure_since)) == key:
            return NO_CHANGES
        rotated = after.rotation != key.rotation
        return KeyChanges(
            saved=tuple(with_relatives(reader, prepared, KeyVersions(key, after))),
            events=(
                PlannedEvent(
                    "RepairKeyDates",
                    locator,
                    {},
                    synchronized=rotated and bool(key.relatives),
                    occasion=f"rotation {key.rotation.next_at}, deletion {key.deletion_at}",
                ),
            ),
        )

    return plan


DATE_REPAIR = Duty("repaired", "a wrong clock had dated the next rotation or deletion; repaired", _find, _plan)
"""Repairs dates. It is done once the wall clock is confirmed after a start, and once it has come back."""
