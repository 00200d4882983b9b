"""Expiry: erases imported key material that has expired. Calls refuse it from the moment it expires."""

from strongroom.keys import imported
from strongroom.keys.arns import KeyLocator
from strongroom.maintenance.duty import Duty, Regions
from strongroom.operations.kms.key_changes import NO_CHANGES, KeyChanges, Plan, expiry_event
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.operations.kms.related_keys import KeyVersions, with_relatives
from strongroom.store.protocol import Reader
from strongroom.trusted_time import Moment


def _find(reader: Reader, moment: Moment, limit: int, regions: Regions) -> list[KeyLocator]:
    return reader.keys_with_expired_material(moment.earliest, limit, regions)


def _plan(locator: KeyLocator, moment: Moment) -> Plan:
    def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
        key = reader.key(locator)
        if key is None or (after := imported.as_of(key, moment.earliest)) == key:
            return NO_CHANGES
        lost = set(imported.lost(key, after))
        pending = imported.pending_material(key)
        erased_everywhere = set() if key.is_replica or pending is None else {pending.material_id}
        return KeyChanges(
            saved=tuple(with_relatives(reader, prepared, KeyVersions(key, after))),
            events=tuple(
                expiry_event(key, each, synchronized=bool(key.relatives) and each.material_id in erased_everywhere)
                for each in key.materials
                if each.material_id in lost
            ),
        )

    return plan


MATERIAL_EXPIRY = Duty("expired", "erased expired key material of", _find, _plan)
"""Erases imported key material that has expired."""
