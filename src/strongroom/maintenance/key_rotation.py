"""Automatic rotation: a key whose rotation period is over gets new key material."""

from strongroom.keys import lifecycle
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import RotationType
from strongroom.maintenance.duty import Duty, Regions
from strongroom.operations.kms.key_changes import NO_CHANGES, KeyChanges, Plan
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.operations.kms.related_keys import KeyVersions, with_relatives
from strongroom.operations.planned_events import PlannedEvent
from strongroom.store.protocol import Reader
from strongroom.trusted_time import Moment


def _find(reader: Reader, moment: Moment, limit: int, regions: Regions) -> list[KeyLocator]:
    return reader.keys_to_rotate(moment.earliest, limit, regions)


def _plan(locator: KeyLocator, moment: Moment) -> Plan:
    def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
        key = reader.key(locator)
        if key is None or not lifecycle.rotation_due(key, moment.earliest):
            return NO_CHANGES
        _, token, owner, _ = prepared.new(key)
        rotated = lifecycle.rotate(key, owner.material_id, token, RotationType.AUTOMATIC, moment.earliest)
        details = {"rotationType": "AUTOMATIC", "keyMaterialId": owner.material_id}
        return KeyChanges(
            saved=tuple(with_relatives(reader, prepared, KeyVersions(key, rotated))),
            events=(
                PlannedEvent(
                    "RotateKey",
                    locator,
                    details,
                    synchronized=bool(key.relatives),
                    occasion=f"due {key.rotation.next_at}",
                ),
            ),
        )

    return plan


AUTOMATIC_ROTATION = Duty("rotated", "rotated", _find, _plan)
"""Rotates keys. A key that has missed several rotations is rotated once."""
