"""A list of all KMS keys for an auditor: what they are, whom their policies reach, who used them last, what is due."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from strongroom.assembly.open_folder import OpenFolder
from strongroom.audit.cloudtrail import event_time
from strongroom.bounded_cache import put
from strongroom.errors import KmsError
from strongroom.iam import MalformedPolicy, PolicyKind, parse_policy
from strongroom.iam.reach import Reach, reach_of
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.states import KeyState, StateRule
from strongroom.operations.kms.table import TABLE
from strongroom.service.explanations import Asked, everyone, who_can
from strongroom.store.audit.callers import callers_of
from strongroom.store.protocol import Reader
from strongroom.store.records import KeyUse, ListedKey

_USES = tuple(
    f"kms:{name}"
    for row in TABLE.values()
    if row.rule is StateRule.USE
    for name in (("ReEncryptFrom", "ReEncryptTo") if row.name == "ReEncrypt" else (row.name,))
)
"""The actions that use key material."""
_REMEMBERED = 1024
DAMAGED = "DAMAGED"
"""The state of a key whose record is not as this service wrote it."""


class Selection(msgspec.Struct, frozen=True):
    """Which keys are listed: an empty condition excludes none. ``states`` are those of KMS, or ``DAMAGED``.

    With ``action``, such as ``kms:Decrypt``, it is decided for each key who may do that.
    """

    states: Collection[str] = ()
    account: str = ""
    region: str = ""
    action: str = ""

    def has(self, locator: KeyLocator) -> bool:
        """Tell whether keys with the account and Region of a locator are asked for."""
        return self.account in {"", locator.account} and self.region in {"", locator.region}


class LastUse(msgspec.Struct, frozen=True):
    """The last successful use of a key: when (UTC), by which operation, recorded as which event, and by whom.

    ``by`` is None if the record is not in the folders of the audit log that were read.
    """

    at: str
    operation: str
    event_id: str
    by: str | None


class InventoriedKey(msgspec.Struct, frozen=True):
    """A KMS key in the list. All but the first five members are None if its record is damaged.

    Times are UTC, as in audit records. ``reach`` is that of the key policy for the actions that use key material.
    ``grants`` is the number of grants. ``material_expires`` is when imported material does. ``may`` are the principals
    who may do what was asked about; None if nothing was.
    """

    key_id: str
    arn: str
    account: str
    region: str
    state: str
    aliases: Sequence[str] | None = None
    description: str | None = None
    spec: str | None = None
    usage: str | None = None
    origin: str | None = None
    manager: str | None = None
    multi_region: bool | None = None
    created: str | None = None
    rotation_days: int | None = None
    next_rotation: str | None = None
    deletion: str | None = None
    material_expires: str | None = None
    reach: Reach | None = None
    grants: int | None = None
    last_use: LastUse | None = None
    may: Sequence[str] | None = None


class KeyInventory:
    """Reads all keys, one after the other. Memory grows with the number of last uses, by about 200 bytes for each."""

    def __init__(self, opened: OpenFolder, folders: Sequence[Path], now: float) -> None:
        """``folders`` have the audit log, in which the callers of last uses are looked up; ``now`` in epoch seconds."""
        self._backends = opened.backends
        self._folders = folders
        self._now = now
        self._reaches = dict[str, Reach]()

    def keys(self, selection: Selection) -> Iterator[InventoriedKey]:
        """Yield the keys of a selection by account, Region and key id, from one consistent state of the database.

        Raises UnreadableSegmentError if the audit log is archived meanwhile, and NoAnswer if there is no such action on
        keys.
        """
        unsaved = self._backends.key_uses.unsaved()
        names = everyone(self._backends) if selection.action else []
        with self._backends.store.read() as reader:
            callers = callers_of(self._folders, _events(reader, unsaved, selection))
            for listed in reader.all_keys():
                if selection.has(listed.locator):
                    found = self._inventoried(listed, unsaved.get(listed.locator), callers)
                    if not selection.states or found.state in selection.states:
                        yield self._decided(found, selection.action, names) if selection.action else found

    def _decided(self, key: InventoriedKey, action: str, names: Sequence[str]) -> InventoriedKey:
        """Return a key with those who may do an action with it, as the service would decide now for a call over TLS."""
        asked = Asked(action, key.arn, key.region, self._now, {})
        try:
            may = [found.principal for found in who_can(self._backends, asked, names)]
        except KmsError:
            # It was deleted meanwhile, or its record is damaged.
            return key
        return msgspec.structs.replace(key, may=may)

    def _inventoried(self, listed: ListedKey, unsaved: KeyUse | None, callers: Mapping[bytes, str]) -> InventoriedKey:
        locator, key = listed.locator, listed.key
        state = DAMAGED if key is None else key.state.value
        found = InventoriedKey(locator.key_id, locator.arn, locator.account, locator.region, state)
        if key is None:
            return found
        use = _later(listed.use, unsaved)
        current = key.current_material
        return msgspec.structs.replace(
            found,
            aliases=key.aliases,
            description=key.description,
            spec=key.spec.value,
            usage=key.usage.value,
            origin=key.origin.value,
            manager=key.manager.value,
            multi_region=key.multi_region,
            created=event_time(key.created_at),
            rotation_days=key.rotation.period_days if key.rotation.enabled else None,
            next_rotation=_time(key.rotation.next_at if key.rotation.enabled else None),
            deletion=_time(key.deletion_at if key.state is KeyState.PENDING_DELETION else None),
            material_expires=_time(None if current is None else current.expires_at),
            reach=self._reach(key),
            grants=listed.grants,
            last_use=None if use is None else _described(use, callers),
        )

    def _reach(self, key: KmsKey) -> Reach | None:
        """Return the reach of a key's policy; many keys have the same. None for one that cannot be read."""
        known = self._reaches.get(key.policy)
        if known is None:
            try:
                document = parse_policy(key.policy, PolicyKind.RESOURCE)
            except MalformedPolicy:
                return None
            known = put(self._reaches, key.policy, reach_of(document, _USES), _REMEMBERED)
        return known


def _events(reader: Reader, unsaved: Mapping[KeyLocator, KeyUse], selection: Selection) -> dict[bytes, float]:
    """Return the times of the last uses by the ids of their events."""
    events = {use.event_id.encode(): use.used_at for use in reader.key_uses() if selection.has(use.locator)}
    return events | {use.event_id.encode(): use.used_at for use in unsaved.values() if selection.has(use.locator)}


def _later(saved: KeyUse | None, unsaved: KeyUse | None) -> KeyUse | None:
    return max((use for use in (saved, unsaved) if use is not None), key=lambda use: use.used_at, default=None)


def _described(use: KeyUse, callers: Mapping[bytes, str]) -> LastUse:
    return LastUse(event_time(use.used_at), use.operation, use.event_id, callers.get(use.event_id.encode()))


def _time(at: float | None) -> str | None:
    return None if at is None else event_time(at)
