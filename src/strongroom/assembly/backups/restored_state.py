"""What a restore changes in the restored database, and the record of it.

Keys and material that were destroyed after the backup are destroyed again, unless they are to be brought back. Keys
whose waiting period would be over get a new one. Key stores in AWS CloudHSM are disconnected: the deployment that was
backed up may go on with the objects in their clusters, and a key that is deleted in a copy would be gone for both. The
writers of the old audit log are forgotten: the record of the restore, the first in the new log, says where their chains
were.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain

import msgspec

from strongroom.assembly.command_trail import current_operator
from strongroom.assembly.overdue_deletions import MOST_NAMED, intact_key, listed, overdue_keys, some_wait_anew
from strongroom.audit.cloudtrail import event_time
from strongroom.audit.operator_events import KEY_SOURCE, Circumstances, OperatorEvent, operator_event
from strongroom.audit.sink import AuditSink
from strongroom.backup.blocks import BackupError
from strongroom.backup.destructions import DestroyedMaterial, Destructions
from strongroom.backup.manifest import Manifest, SignedManifest, WriterCheckpoint
from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.crypto.key_backends import KeyBackends
from strongroom.entropy import Entropy
from strongroom.keys import imported, lifecycle
from strongroom.keys.arns import KeyLocator, locator_of
from strongroom.keys.custom_key_stores import ConnectionState, CustomKeyStore, CustomKeyStoreType, disconnect
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.states import KeyState
from strongroom.maintenance.key_deletion import erasure
from strongroom.operations.kms.key_changes import (
    NO_CHANGES,
    KeyChanges,
    Plan,
    change_keys_recorded,
    scope_of,
)
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.operations.kms.related_keys import KeyVersions, with_relatives
from strongroom.operations.planned_events import PlannedEvent
from strongroom.service.audit_trail import AuditTrail
from strongroom.store.protocol import Reader, Store, Transaction
from strongroom.store.scopes import AccountScope

_REASON = "destroyed after the backup was made"


class Settled(msgspec.Struct, frozen=True):
    """What was decided: ARNs of keys. ``materials`` are keys that lost imported material.

    ``disconnected`` are the ids of custom key stores.
    """

    destroyed: Sequence[str]
    materials: Sequence[str]
    brought_back: Sequence[str]
    waiting_anew: Sequence[str]
    disconnected: Sequence[str] = ()


class RestoredState:
    """A restored database, before anything else has opened it, and the audit log of its new node."""

    def __init__(
        self,
        store: Store,
        key_backends: KeyBackends,
        log: AuditSink,
        signed: SignedManifest,
        now: float,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._key_backends = key_backends
        self._log = log
        self._trail = AuditTrail(log, entropy)
        self._signed = signed
        self._now = now
        self._entropy = entropy

    def settle(
        self, destructions: Destructions | None, bring_back: Sequence[str], facts: Mapping[str, object]
    ) -> Settled:
        """Decide about every key that needs it, record that, and make the changes.

        ``destructions`` is None if there was no audit log to read. ``bring_back`` are key ids or ARNs. ``facts`` are
        further members of the record. Raises BackupError for a key in ``bring_back`` that was not destroyed.
        """
        doomed = [] if destructions is None else self._present(destructions)
        materials = [] if destructions is None else self._present_materials(destructions)
        wanted = set(bring_back)
        brought = {each for each in (*doomed, *(locator for locator, _ in materials)) if _is_named(each, wanted)}
        unknown = wanted - set(chain.from_iterable((each.key_id, each.arn) for each in brought))
        if unknown:
            raise BackupError(
                f"{', '.join(sorted(unknown))} in --bring-back was not destroyed after the backup, or is not in it"
            )
        doomed = [each for each in doomed if each not in brought]
        materials = [each for each in materials if each[0] not in brought]
        connected = self._connected_to_clusters()
        settled = Settled(
            [each.arn for each in doomed],
            sorted({locator.arn for locator, _ in materials}),
            sorted(each.arn for each in brought),
            self._overdue(set(doomed) | brought),
            [each.store_id for each in connected],
        )
        self._record(settled, facts)
        for store in connected:
            self._disconnect(store)
        for locator in brought:
            self._bring_back(locator)
        for locator in doomed:
            self._change(locator, self._erase(locator))
        for locator, material in materials:
            self._change(locator, self._erase_material(locator, material))
        self._wait_anew()
        return settled

    def _present(self, destructions: Destructions) -> list[KeyLocator]:
        """Return the destroyed keys that the backup has, primary keys first: so a damaged one keeps no replica."""
        primaries: list[KeyLocator] = []
        replicas: list[KeyLocator] = []
        with self._store.read() as reader:
            for locator in map(locator_of, sorted(destructions.keys)):
                # Of a damaged key, no record may be left either.
                key = reader.damaged_key(locator) or reader.key(locator)
                if key is not None:
                    (primaries if key.primary_region in {"", locator.region} else replicas).append(locator)
        return [*primaries, *replicas]

    def _present_materials(self, destructions: Destructions) -> list[tuple[KeyLocator, DestroyedMaterial]]:
        """Return the deleted material that keys of the backup have."""
        found = []
        with self._store.read() as reader:
            for material in destructions.materials:
                locator = locator_of(material.arn)
                key = intact_key(reader, locator)
                if key is not None and _without(key, material) != key:
                    found.append((locator, material))
        return found

    def _overdue(self, others: set[KeyLocator]) -> list[str]:
        """Return the keys whose waiting period is over, without ``others``."""
        with self._store.read() as reader:
            return [each.arn for each in overdue_keys(reader, self._now) if each not in others]

    def _connected_to_clusters(self) -> list[CustomKeyStore]:
        """Return the key stores whose keys the deployment that was backed up may go on to use."""
        with self._store.read() as reader:
            return [
                each
                for each in reader.all_custom_key_stores()
                if each.type is CustomKeyStoreType.AWS_CLOUDHSM
                and each.state in {ConnectionState.CONNECTED, ConnectionState.CONNECTING}
            ]

    def _record(self, settled: Settled, facts: Mapping[str, object]) -> None:
        manifest = self._signed.manifest
        with self._store.read() as reader:
            accounts = [record.account for record in reader.accounts()]
            regions = [key.scope for key in reader.domain_keys() if key.scope != IAM_SCOPE]
        at = Circumstances(
            operator=current_operator(),
            region=regions[0] if regions else "",
            now=self._now,
            event_id=self._trail.event_id(),
        )
        details = {
            "backupTime": event_time(manifest.at),
            "backupManifest": self._signed.digest,
            "backupRelease": manifest.release,
            "backupDatabase": None if manifest.ends is None else msgspec.to_builtins(manifest.ends),
            "deployment": manifest.deployment,
            "backupNode": manifest.node,
            "keys": manifest.rows_of("kms_key"),
            **facts,
            "destroyedAgain": listed(settled.destroyed),
            "materialDestroyedAgain": listed(settled.materials),
            "broughtBack": listed(settled.brought_back),
            "newWaitingPeriod": listed(settled.waiting_anew),
            "disconnectedKeyStores": {
                "count": len(settled.disconnected),
                "customKeyStoreIds": settled.disconnected[:MOST_NAMED],
            },
            "closedWriters": _closed_writers(manifest),
        }
        account = accounts[0] if accounts else ""
        event = OperatorEvent(
            name="RestoreBackup", command="restore", source=KEY_SOURCE, account=account, details=details
        )
        self._log.append(operator_event(event, at))
        self._log.flush()

    def _change(self, locator: KeyLocator, plan: Plan) -> None:
        def record(events: tuple[PlannedEvent, ...]) -> None:
            for event in events:
                self._trail.event(event.name, event.locator, event.details, self._now)
            self._log.flush()

        with PreparedMaterial(self._key_backends, self._entropy) as prepared:
            scopes = (scope_of(locator), AccountScope(locator.account))
            change_keys_recorded(self._store, prepared, plan, record, *scopes)

    def _erase(self, locator: KeyLocator) -> Plan:
        def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
            return erasure(reader, prepared, locator, self._now, {"reason": _REASON}, even_alone=True)

        return plan

    def _erase_material(self, locator: KeyLocator, material: DestroyedMaterial) -> Plan:
        def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
            key = intact_key(reader, locator)
            if key is None or (after := _without(key, material)) == key:
                return NO_CHANGES
            lost = {"keyMaterialId": imported.lost(key, after)[0], "reason": _REASON}
            return KeyChanges(
                saved=tuple(with_relatives(reader, prepared, KeyVersions(key, after))),
                events=(PlannedEvent("DeleteImportedKeyMaterial", locator, lost),),
            )

        return plan

    def _disconnect(self, store: CustomKeyStore) -> None:
        """Have no key of a store used or destroyed until an operator connects it."""

        def act(transaction: Transaction) -> None:
            transaction.put_custom_key_store(disconnect(store))

        self._store.write(act, AccountScope(store.account))

    def _bring_back(self, locator: KeyLocator) -> None:
        def act(transaction: Transaction) -> None:
            key = intact_key(transaction, locator)
            if key is not None and (after := _disabled(key)) != key:
                transaction.save_key(key, after)

        self._store.write(act, scope_of(locator))

    def _wait_anew(self) -> None:
        """Give every key whose waiting period is over a new one."""
        skipped, more = 0, True
        while more:
            skipped, more = self._store.write(partial(some_wait_anew, now=self._now, skipped=skipped))


def _without(key: KmsKey, material: DestroyedMaterial) -> KmsKey:
    """Return a key without a deleted material; unchanged if it does not have it."""
    known = {each.material_id for each in key.materials}
    if material.material_id is not None and material.material_id not in known:
        return key
    return imported.delete_material(key, material.material_id)


def _disabled(key: KmsKey) -> KmsKey:
    """Return a key as it is brought back: not usable until it is enabled, and not waiting for its deletion."""
    if key.state in {KeyState.PENDING_DELETION, KeyState.PENDING_REPLICA_DELETION}:
        return lifecycle.cancel_deletion(key)
    return lifecycle.disable(key) if key.state is KeyState.ENABLED else key


def _is_named(locator: KeyLocator, names: set[str]) -> bool:
    return locator.key_id in names or locator.arn in names


def _closed_writers(manifest: Manifest) -> list[object]:
    """Return where the chains of the old audit log were when the backup was made."""
    return [_closed_writer(each) for each in manifest.checkpoints[:MOST_NAMED]]


def _closed_writer(checkpoint: WriterCheckpoint) -> object:
    try:
        return msgspec.json.decode(checkpoint.statement)
    except msgspec.DecodeError:
        # There was none yet, or its record was damaged.
        return {"writer": checkpoint.writer}
