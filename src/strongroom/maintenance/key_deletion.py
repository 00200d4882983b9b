"""Deletion: erases keys whose waiting period is over, and destroys their key material.

What is due is decided here. ``operations/kms/key_changes.py`` erases it, and has the key back end destroy the material.
"""

from collections.abc import Mapping

from strongroom.clock import DAY
from strongroom.errors import QuarantinedRecordException
from strongroom.keys import lifecycle, multi_region
from strongroom.keys.arns import KeyLocator
from strongroom.keys.custom_key_stores import ConnectionState
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import Origin
from strongroom.maintenance.duty import Duty, Regions
from strongroom.operations.kms.key_changes import NO_CHANGES, KeyChanges, Plan
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.operations.kms.related_keys import KeyVersions, with_relatives
from strongroom.operations.planned_events import PlannedEvent
from strongroom.store.protocol import Reader
from strongroom.store.records import DamagedKey
from strongroom.trusted_time import Moment

_MORE_TIME = lifecycle.MIN_DELETION_WINDOW_DAYS * DAY


def _find(reader: Reader, moment: Moment, limit: int, regions: Regions) -> list[KeyLocator]:
    return reader.keys_to_delete(moment.earliest, limit, regions)


def _plan(locator: KeyLocator, moment: Moment) -> Plan:
    def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
        damaged = reader.damaged_key(locator)
        if damaged is None:
            key = reader.key(locator)
            due = key is not None and lifecycle.deletion_due(key, moment.earliest)
            deletion_at = None if key is None else key.deletion_at
        else:
            due = _is_due(damaged, moment.earliest)
            deletion_at = damaged.deletion_at if damaged.intact is None else damaged.intact.deletion_at
        if not due:
            return NO_CHANGES
        return erasure(reader, prepared, locator, moment.latest, {}, occasion=f"due {deletion_at}")

    return plan


def _is_due(damaged: DamagedKey, now: float) -> bool:
    """Tell whether the waiting period of a key is over that has a damaged record.

    If that is the key's own, its date may be what was damaged. So the key waits once more, for the shortest period,
    which is time to put the record back.
    """
    if damaged.intact is not None:
        return lifecycle.deletion_due(damaged.intact, now)
    return damaged.deletion_at is not None and damaged.deletion_at + _MORE_TIME <= now


def erasure(  # noqa: PLR0913 - what the event of an erasure says comes from its caller
    reader: Reader,
    prepared: PreparedMaterial,
    locator: KeyLocator,
    now: float,
    details: Mapping[str, object],
    *,
    even_alone: bool = False,
    occasion: str = "",
) -> KeyChanges:
    """Return the changes that erase a key, with its event in the audit log, the ``details`` and ``occasion`` of that.

    A key of which a record is damaged is erased as well, with all of its records. NO_CHANGES if there is no such key. A
    replica whose primary key is quarantined is erased only if it is to be ``even_alone``: the primary would wait for it
    without end. Otherwise that raises QuarantinedRecordException.
    """

    def related(primary_region: str) -> list[KeyVersions]:
        try:
            return _without_replica(reader, prepared, locator, primary_region, now)
        except QuarantinedRecordException:
            if even_alone:
                return []
            raise

    damaged = reader.damaged_key(locator)
    if damaged is not None:
        left = () if damaged.intact is None else damaged.intact.damaged
        what: dict[str, object] = (
            {"damagedRecord": True} if damaged.intact is None else {"damagedMaterials": list(left)}
        )
        return KeyChanges(
            erased_damaged=(damaged,),
            saved=tuple(related(damaged.primary_region)),
            events=(PlannedEvent("DeleteKey", locator, {**details, **what}, occasion=occasion),),
        )
    key = reader.key(locator)
    if key is None:
        return NO_CHANGES
    return KeyChanges(
        erased=(key,),
        saved=tuple(related(key.primary_region)),
        events=(PlannedEvent("DeleteKey", locator, {**details, **_in_cluster(reader, key)}, occasion=occasion),),
    )


def _in_cluster(reader: Reader, key: KmsKey) -> dict[str, object]:
    """Return what the event says of a key in AWS CloudHSM: its objects there, and whether they are left behind.

    They are if the key store is not connected. The ids are those of the objects (CKA_ID), in hex.
    """
    if key.origin is not Origin.AWS_CLOUDHSM or key.custom_key_store_id is None:
        return {}
    store = reader.custom_key_store(key.account, key.region, key.custom_key_store_id)
    found: dict[str, object] = {
        "customKeyStoreId": key.custom_key_store_id,
        "backingKeys": [{"backingKeyId": material.material_id} for material in key.materials],
    }
    if store is not None and store.cluster_id is not None:
        found["clusterId"] = store.cluster_id
    if store is None or store.state is not ConnectionState.CONNECTED:
        found["backingKeysDeletionStatus"] = [
            {"backingKeyId": material.material_id, "deletionStatus": "FAILURE"} for material in key.materials
        ]
    return found


def _without_replica(
    reader: Reader, prepared: PreparedMaterial, deleted: KeyLocator, primary_region: str, now: float
) -> list[KeyVersions]:
    """Return the relatives of a deleted replica without it. This may start the waiting period of their primary."""
    if primary_region in {"", deleted.region}:
        return []
    primary = reader.key(KeyLocator(deleted.account, primary_region, deleted.key_id))
    # What the record of a damaged replica says of its primary need not be so.
    if primary is None or deleted.region not in primary.replica_regions:
        return []
    changed = KeyVersions(primary, multi_region.without_replica(primary, deleted.region, now))
    try:
        return with_relatives(reader, prepared, changed)
    except QuarantinedRecordException:
        # Another replica is damaged. It stays as it is, and the primary changes all the same.
        return [changed]


KEY_DELETION = Duty("deleted", "deleted", _find, _plan)
"""Deletes keys. Their material is destroyed after the commit, because that cannot be undone (``destructions``)."""
