"""Deletion: erases keys whose waiting period is over, and destroys their key material.

What is due is decided here. ``operations/kms/key_changes.py`` erases it, and has the key back end destroy the material.
"""

from collections.abc import Mapping

from strongroom.keys import lifecycle, multi_region
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.maintenance.duty import Duty
from strongroom.operations.kms.key_changes import NO_CHANGES, KeyChanges, Plan, PlannedEvent
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.operations.kms.related_keys import KeyVersions, with_relatives
from strongroom.store.protocol import Reader
from strongroom.trusted_time import Moment


def _find(reader: Reader, moment: Moment, limit: int) -> list[KeyLocator]:
    return reader.keys_to_delete(moment.earliest, limit)


def _plan(locator: KeyLocator, moment: Moment) -> Plan:
    def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
        key = reader.key(locator)
        if key is None or not lifecycle.deletion_due(key, moment.earliest):
            return NO_CHANGES
        return erasure(reader, prepared, key, moment.latest, {})

    return plan


def erasure(
    reader: Reader, prepared: PreparedMaterial, key: KmsKey, now: float, details: Mapping[str, object]
) -> KeyChanges:
    """Return the changes that erase a key, with its event in the audit log and the ``details`` of that."""
    return KeyChanges(
        erased=(key,),
        saved=tuple(_without_replica(reader, prepared, key, now)),
        events=(PlannedEvent("DeleteKey", key.locator, details),),
    )


def _without_replica(reader: Reader, prepared: PreparedMaterial, deleted: KmsKey, now: float) -> list[KeyVersions]:
    """Return the relatives of a deleted replica without it. This may start the waiting period of their primary."""
    primary = reader.key(multi_region.primary_of(deleted)) if deleted.is_replica else None
    if primary is None:
        return []
    left = multi_region.without_replica(primary, deleted.region, now)
    return with_relatives(reader, prepared, KeyVersions(primary, left))


KEY_DELETION = Duty("deleted", "deleted", _find, _plan)
"""Deletes keys. Their material is destroyed after the commit, because that cannot be undone."""
