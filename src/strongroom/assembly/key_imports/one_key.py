"""Imports one exported key: the key itself, its policy, its material, its aliases and its grants."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from msgspec.structs import replace

from strongroom.assembly.command_trail import CommandTrail
from strongroom.assembly.key_imports.eligibility import why_not
from strongroom.assembly.key_imports.grants import GrantImport
from strongroom.assembly.key_imports.material import imported_token
from strongroom.assembly.key_imports.policies import ImportedPolicy, imported_policy
from strongroom.assembly.key_imports.report import DEFAULT_POLICY, KEY, POLICY, ImportedKey, Outcome
from strongroom.audit.operator_events import KEY_SOURCE, OperatorEvent
from strongroom.errors import KmsError, ValidationException
from strongroom.key_exports.document import ExportedKey
from strongroom.keys import imported
from strongroom.keys.arns import AliasLocator, KeyLocator, key_arn, root_arn
from strongroom.keys.key_policy import default_policy
from strongroom.keys.kms_key import KeyMaterial, KeyMaterialState, KmsKey, new_key
from strongroom.keys.lifecycle import enable_rotation
from strongroom.keys.names import is_reserved, merge_tags, require_new_alias
from strongroom.keys.specs import KeySpec, KeyUsage, Origin
from strongroom.keys.states import KeyState
from strongroom.operations.context import Backends
from strongroom.operations.kms.create_key import CreateKeyRequest
from strongroom.operations.kms.key_changes import KeyChanges, change_keys
from strongroom.operations.kms.key_material import OwnedToken
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.operations.kms.related_keys import KeyVersions
from strongroom.operations.validation import convert
from strongroom.store.protocol import Reader, Transaction
from strongroom.store.records import AliasRecord
from strongroom.store.scopes import AccountScope, KeyScope

_SERVER_FAULT = 500
_MOST_ALIASES = 50
"""Resource quota: aliases of one key (KMS Developer Guide, "Quotas")."""
_LIVE = frozenset({KeyState.ENABLED, KeyState.DISABLED, KeyState.PENDING_IMPORT})
_NO_MATERIAL = "its key material: no API gives it out; import it with --material if you still have it"
_DISABLED = "it is disabled until its policy is here, so that nothing uses it under a policy that allows more"

_DELETED = "it was here after the earlier import and was deleted since; without --earlier it is imported anew"
_NOT_YET = (
    "it is imported once its policy can be had: with its material it would be enabled under a policy that allows more"
)


class Target(NamedTuple):
    """Where keys are imported to."""

    account: str
    region: str


class Scene(NamedTuple):
    """The deployment that keys are imported into, also while a server runs on it; ``now`` is in epoch seconds."""

    backends: Backends
    trail: CommandTrail
    now: float


class OneKey:
    """Imports one key."""

    def __init__(
        self,
        scene: Scene,
        exported: ExportedKey,
        source: str,
        target: Target,
        material: bytes | None,
        there: frozenset[str] = frozenset(),
    ) -> None:
        """Take a key of the account ``source``, and its material if the operator has given it.

        ``there`` is what an earlier import has left of it, as in its report.
        """
        self._scene = scene
        self._backends = scene.backends
        self._store = scene.backends.store
        self._now = scene.now
        self._exported = exported
        self._source = source
        self._target = target
        self._material = material
        self._held_back = False
        self._there = there
        self._result = ImportedKey(source_arn=exported.arn, outcome=Outcome.SKIPPED, there=sorted(there))

    def run(self, *, dry_run: bool) -> ImportedKey:
        """Import the key; raises KmsError only where the database or a key back end fails."""
        result = self._result
        result.reason = why_not(self._exported, *self._target)
        if result.reason:
            return result
        try:
            self._import(dry_run=dry_run)
        except KmsError as error:
            if error.status >= _SERVER_FAULT:
                raise
            result.outcome, result.reason = Outcome.SKIPPED, error.message or error.code
        return result

    def _import(self, *, dry_run: bool) -> None:
        exported, result = self._exported, self._result
        locator = KeyLocator(*self._target, exported.key_id)
        with self._store.read() as reader:
            policy = imported_policy(reader, exported, self._source, locator)
            existing = reader.key(locator)
            self._require_unrelated(reader, locator)
        wanted = self._wanted(locator, policy)
        if existing is not None and _kind(existing) != _kind(wanted):
            result.reason = f"there is another key with this id: {existing.arn}"
            return
        if existing is not None and existing.state not in _LIVE:
            result.reason = f"it is {existing.state} here, and stays so: an import undoes no deletion"
            return
        if existing is None and KEY in self._there:
            result.reason = _DELETED
            return
        if existing is None and policy.problem and exported.origin is Origin.EXTERNAL:
            result.missing.append(policy.problem)
            result.reason = _NOT_YET
            return
        result.key_arn = locator.arn
        after = wanted if existing is None else self._completed(existing, wanted, policy)
        self._describe(after, policy)
        extras, missing = self._extras(after, dry_run=True)
        changed = after != existing or self._takes_material(after) or extras
        if changed and not dry_run:
            with self._recorded(locator):
                self._write(existing, after)
                _, missing = self._extras(after, dry_run=False)
        result.missing += missing
        self._note(KEY)
        if not policy.problem and after.policy == wanted.policy:
            # Whether a default policy is here because the source has it, or stands in for one that could not be had,
            # tells whether the key was held back.
            self._note(DEFAULT_POLICY if after.policy == _default_of(after) else POLICY)
        result.outcome = Outcome.COMPLETED if changed else Outcome.PRESENT
        if existing is None:
            result.outcome = Outcome.IMPORTED

    @contextmanager
    def _recorded(self, locator: KeyLocator) -> Iterator[None]:
        event = OperatorEvent(
            name="ImportKey",
            command="import aws",
            source=KEY_SOURCE,
            account=locator.account,
            details={"keyArn": locator.arn, "sourceArn": self._exported.arn},
        )
        with self._scene.trail.changing(), self._scene.trail.recording(event):
            yield

    def _require_unrelated(self, reader: Reader, locator: KeyLocator) -> None:
        """Refuse a multi-Region key id that a key in another Region has: two keys would pass for related ones."""
        for region in self._backends.regions if self._exported.multi_region_key_type else ():
            if region != locator.region and reader.key(replace(locator, region=region)) is not None:
                raise ValidationException(
                    f"{key_arn(region, locator.account, locator.key_id)} has this key id: "
                    "make related keys with ReplicateKey"
                )

    def _wanted(self, locator: KeyLocator, policy: ImportedPolicy) -> KmsKey:
        """Return the key as it is to be, without material; raises KmsError for what no key here can have."""
        exported = self._exported
        spec, usage = exported.key_spec, exported.key_usage
        members = {"Description": exported.description, "KeySpec": spec, "KeyUsage": usage}
        kept = [(key, value) for key, value in exported.tags.items() if not is_reserved(key)]
        if left_out := sorted(set(exported.tags) - {key for key, _ in kept}):
            self._result.notes.append(f"its tags {', '.join(left_out)} are left out: AWS reserves them for itself")
        tags = [{"TagKey": key, "TagValue": value} for key, value in kept]
        convert(CreateKeyRequest, {**members, "Tags": tags})
        self._backends.key_backends.of_store(None).require_spec(spec, usage, locator.region)
        key = new_key(
            locator,
            spec=spec,
            usage=usage,
            origin=exported.origin,
            description=exported.description,
            policy=policy.text,
            multi_region=exported.multi_region_key_type == "PRIMARY",
            tags=merge_tags((), kept),
            material=None,
            now=self._now,
        )
        key = replace(key, pinned=policy.pinned)
        if exported.rotation_period_in_days is not None:
            key = enable_rotation(key, exported.rotation_period_in_days, self._now)
        return key if exported.origin is Origin.EXTERNAL else replace(key, state=self._state(policy))

    def _state(self, policy: ImportedPolicy) -> KeyState:
        disabled = policy.problem or self._exported.key_state is KeyState.DISABLED
        return KeyState.DISABLED if disabled else KeyState.ENABLED

    def _completed(self, existing: KmsKey, wanted: KmsKey, policy: ImportedPolicy) -> KmsKey:
        """Return a key of an earlier import with its policy, if that could not be had then and can be had now."""
        default = _default_of(existing)
        if existing.policy != default or policy.problem or wanted.policy == default or POLICY in self._there:
            return existing
        completed = replace(existing, policy=policy.text, pinned=policy.pinned)
        held_back = existing.state is KeyState.DISABLED and DEFAULT_POLICY not in self._there
        return replace(completed, state=self._state(policy)) if held_back else completed

    def _describe(self, key: KmsKey, policy: ImportedPolicy) -> None:
        """Note what is missing of a key, and what is different about it."""
        result, exported = self._result, self._exported
        if policy.problem and key.policy == policy.text:
            result.missing.append(policy.problem)
            self._held_back = key.state in {KeyState.DISABLED, KeyState.PENDING_IMPORT}
            if self._held_back:
                result.notes.append(_DISABLED)
        result.missing += [f"{name}: {why}" for name, why in exported.unread.items() if name != "Policy"]
        if exported.origin is Origin.EXTERNAL:
            if self._material is None and not key.has_all_material:
                result.missing.append(_NO_MATERIAL)
        else:
            what = (
                "key material" if exported.key_usage == "ENCRYPT_DECRYPT" else "key material, and so a new public key"
            )
            what = "key material" if exported.key_spec.startswith(("SYMMETRIC", "HMAC")) else what
            result.notes.append(f"it has new {what}")
        if exported.multi_region_key_type:
            result.notes.append("it is a primary without replicas: make them with ReplicateKey")

    def _write(self, existing: KmsKey | None, after: KmsKey) -> None:
        """Make the key, or save what it lacked."""
        backends = self._backends
        with PreparedMaterial(backends.key_backends, backends.entropy) as prepared:
            token = self._given(after)
            if token is not None:
                prepared.add_imported(token)

            def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
                before = reader.key(after.locator)
                if before != existing:
                    raise ValidationException("the key was changed meanwhile: import again")
                if before is not None:
                    return KeyChanges(saved=(KeyVersions(before, self._with_given(after, token)),))
                if after.origin is Origin.EXTERNAL:
                    return self._added(self._with_given(after, token))
                made = prepared.new(after)
                material = KeyMaterial(made.owner.material_id, made.token, KeyMaterialState.CURRENT, self._now)
                return self._added(replace(after, materials=(material,)))

            scopes = (AccountScope(after.account), KeyScope(after.account, after.key_id))
            change_keys(self._store, prepared, plan, *scopes)

    def _added(self, key: KmsKey) -> KeyChanges:
        return KeyChanges(added=(key,), customer_keys=self._backends.customer_keys)

    def _takes_material(self, key: KmsKey) -> bool:
        return self._material is not None and not key.has_all_material

    def _given(self, key: KmsKey) -> OwnedToken | None:
        """Return the token of the material that the operator has given; None if the key needs none."""
        if self._material is None or key.has_all_material:
            return None
        return imported_token(self._backends.key_backends, key, self._material, self._backends.entropy)

    def _with_given(self, key: KmsKey, token: OwnedToken | None) -> KmsKey:
        if token is None:
            return key
        material = KeyMaterial(token.owner.material_id, token.token, KeyMaterialState.CURRENT, self._now)
        with_material = imported.import_material(key, material, imported.import_type(key, None))
        is_to_be_disabled = self._held_back or self._exported.key_state is KeyState.DISABLED
        if is_to_be_disabled and with_material.state is KeyState.ENABLED:
            return replace(with_material, state=KeyState.DISABLED)
        return with_material

    def _extras(self, key: KmsKey, *, dry_run: bool) -> tuple[bool, list[str]]:
        """Make the aliases and grants that are not there yet.

        Returns whether there were any, and what is missing of the others.
        """
        results = [self._alias(key, name, dry_run=dry_run) for name in self._exported.aliases]
        grants = GrantImport(self._store, key, self._source, self._now, self._there)
        made, missing, there = grants.run(self._exported.grants, dry_run=dry_run)
        self._note(*there)
        problems = [problem for _, problem in results if problem]
        return any(added for added, _ in results) or bool(made), problems + missing

    def _note(self, *there: str) -> None:
        """Note what is here now, for a later import."""
        self._result.there = sorted({*self._result.there, *there})

    def _alias(self, key: KmsKey, name: str, *, dry_run: bool) -> tuple[bool, str]:
        """Make an alias; return whether it was made, and why not if that is a problem."""
        try:
            require_new_alias(name)
        except KmsError as error:
            return False, f"{name}: {error.message or error.code}"
        locator = AliasLocator(key.account, key.region, name)
        with self._store.read() as reader:
            found = reader.alias(locator)
        if found is not None and found.key_id != key.key_id:
            return False, f"{name}: it is the alias of key {found.key_id} here"
        if found is not None or name in self._there:
            self._note(name)
            return False, ""

        def add(transaction: Transaction) -> bool:
            record = AliasRecord(locator, key.key_id, created_at=self._now, updated_at=self._now)
            return transaction.add_alias(record, _MOST_ALIASES)

        if dry_run or self._store.write(add, AccountScope(key.account), KeyScope(key.account, key.key_id)):
            self._note(name)
            return True, ""
        return False, f"{name}: the key has {_MOST_ALIASES} aliases already"


def _default_of(key: KmsKey) -> str:
    return default_policy(root_arn(key.region, key.account))


def _kind(key: KmsKey) -> tuple[KeySpec, KeyUsage, Origin]:
    return key.spec, key.usage, key.origin
