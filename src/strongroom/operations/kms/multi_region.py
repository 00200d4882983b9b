"""ReplicateKey and UpdatePrimaryRegion: the operations that change keys in another Region.

Each is one transaction, so no key is ever seen in the transient states that AWS shows, Creating and Updating.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace
from typing_extensions import override

from strongroom.audit.parameters import elements_of
from strongroom.errors import AlreadyExistsException, UnsupportedOperationException, ValidationException
from strongroom.keys import multi_region
from strongroom.keys.arns import KeyIdForms, not_found, partition, root_arn
from strongroom.keys.key_policy import default_policy
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.names import merge_tags
from strongroom.operations.condition_parameters import ConditionParameters, tag_pairs
from strongroom.operations.context import Context
from strongroom.operations.kms.create_key import require_room
from strongroom.operations.kms.key_changes import (
    KeyChanges,
    change_keys,
    latest,
    prepare,
    prepared_material,
    scope_of,
)
from strongroom.operations.kms.key_metadata import KeyMetadata, key_metadata
from strongroom.operations.kms.key_policy import accepted_policy
from strongroom.operations.kms.keys import KeyRequest
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.operations.kms.related_keys import KeyVersions, with_relatives
from strongroom.operations.kms.targets import on_active
from strongroom.operations.operation import Echo
from strongroom.operations.shapes import Description, Empty, PolicyDocument, Response, Tag, TagList, matching
from strongroom.operations.targets import Target
from strongroom.snapshot.active_key import ActiveKey
from strongroom.store.protocol import Reader
from strongroom.store.scopes import AccountScope

Region = Annotated[str, Meta(min_length=1, max_length=32), matching(r"^([a-z]+-){2,3}\d+$")]


class ReplicateKeyRequest(KeyRequest):
    """The request of ReplicateKey. Policy, description and tags are not copied from the primary."""

    replica_region: Region
    policy: PolicyDocument | None = None
    bypass_policy_lockout_safety_check: bool | None = None
    description: Description | None = None
    tags: TagList | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(
            replica_region=self.replica_region,
            bypass_policy_lockout_safety_check=self.bypass_policy_lockout_safety_check,
            tags=tag_pairs(self.tags),
        )


class ReplicateKeyResponse(Response):
    """The response of ReplicateKey."""

    replica_key_metadata: KeyMetadata
    replica_policy: str
    replica_tags: list[Tag] | None = None


class UpdatePrimaryRegionRequest(KeyRequest):
    """The request of UpdatePrimaryRegion."""

    primary_region: Region

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(primary_region=self.primary_region)


def locate_replicate_key(context: Context, request: ReplicateKeyRequest) -> Sequence[Target]:
    """Ask for kms:ReplicateKey on the primary, and the permissions of CreateKey in the replica's Region."""
    active = context.find(request.key_id, KeyIdForms.KEY_ONLY)
    replica = multi_region.new_replica(active.key, request.replica_region, now=context.now)
    actions = ("kms:CreateKey", "kms:TagResource") if request.tags else ("kms:CreateKey",)
    primary = on_active(active, "kms:ReplicateKey", request.key_id)
    return (primary, *(Target(action, new_key=replica) for action in actions))


def replicate_key(context: Context, request: ReplicateKeyRequest, active: ActiveKey) -> ReplicateKeyResponse:
    """Make a replica with all key material of its primary; imported material must be imported there too."""
    store, region = context.backends.store, request.replica_region
    multi_region.require_primary(active.key)
    _require_region(context, region)
    # The primary may have been made where more can be kept: its own Region may be of another depth.
    context.backends.key_backends.of_store(None).require_spec(active.key.spec, active.key.usage, region)
    own = _own_properties(context, request, multi_region.new_replica(active.key, region, now=context.now))
    own_locator = own.locator

    def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
        primary = _latest_primary(reader, context, active)
        after = multi_region.with_replica(primary, region)
        if reader.key(own_locator) is not None:
            raise AlreadyExistsException(f"Key {own.arn} already exists.")
        require_room(context, reader, own)
        replica = multi_region.synchronized(own, after, prepared.copies(after, (own,))[own_locator])
        versions = with_relatives(reader, prepared, KeyVersions(primary, after), replica)
        added = next((each.after for each in versions if each.before is replica), replica)
        return KeyChanges(
            saved=tuple(each for each in versions if each.before is not replica),
            added=(added,),
            customer_keys=context.backends.customer_keys,
        )

    with prepared_material(context) as prepared:
        prepare(store, prepared, plan)
        scopes = (scope_of(own_locator), AccountScope(own.account))
        (replica,) = change_keys(store, prepared, plan, *scopes).added
    tags = [Tag(tag_key=key, tag_value=value) for key, value in replica.tags]
    return ReplicateKeyResponse(
        # On AWS the replica has no key material yet when this answers.
        replica_key_metadata=replace(key_metadata(replica), current_key_material_id=None),
        replica_policy=replica.policy,
        replica_tags=tags or None,
    )


def locate_update_primary_region(context: Context, request: UpdatePrimaryRegionRequest) -> Sequence[Target]:
    """Ask for kms:UpdatePrimaryRegion on the primary, and on the replica that takes its place if there is one."""
    keys = [context.find(request.key_id, KeyIdForms.KEY_ONLY)]
    if request.primary_region != context.region:
        successor = context.backends.snapshot.key(
            replace(keys[0].key.locator, region=request.primary_region), may_wait=context.may_wait
        )
        keys += [] if successor is None else [successor]
    return [on_active(active, "kms:UpdatePrimaryRegion", request.key_id) for active in keys]


def update_primary_region(
    context: Context, request: UpdatePrimaryRegionRequest, active: ActiveKey, successor: ActiveKey | None = None
) -> Empty:
    """Make a replica the primary, and the primary its replica."""
    region = request.primary_region
    multi_region.require_primary(active.key)
    if region == active.key.region:
        raise UnsupportedOperationException(f"{active.key.arn} is the multi-region primary key already.")
    if successor is None:
        raise not_found(replace(active.key.locator, region=region))

    def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
        primary = _latest_primary(reader, context, active)
        latest(context, reader, successor)
        changed = KeyVersions(primary, multi_region.succeeded_by(primary, region))
        return KeyChanges(saved=tuple(with_relatives(reader, prepared, changed)))

    with prepared_material(context) as prepared:
        change_keys(context.backends.store, prepared, plan, scope_of(active.key.locator))
    return Empty()


def replicate_key_elements(response: ReplicateKeyResponse, _targets: Sequence[Target]) -> Mapping[str, object]:
    """Return what CloudTrail shows of the new replica."""
    return {
        "replicaKeyMetadata": elements_of(response.replica_key_metadata),
        "replicaPolicy": response.replica_policy,
    } | ({} if response.replica_tags is None else {"replicaTags": elements_of(response.replica_tags)})


def replica_created(
    request: ReplicateKeyRequest, response: ReplicateKeyResponse, _targets: Sequence[Target]
) -> Sequence[Echo]:
    """Return the record of the replica's Region: CreateKey."""
    metadata = response.replica_key_metadata
    parameters = {
        "description": metadata.description,
        "keySpec": metadata.key_spec,
        "keyUsage": metadata.key_usage,
        "multiRegion": True,
        "origin": metadata.origin,
    }
    elements = {"keyMetadata": elements_of(metadata)}
    return (Echo("CreateKey", request.replica_region, metadata.arn, parameters=parameters, elements=elements),)


def primary_updated(request: UpdatePrimaryRegionRequest, _response: Empty, targets: Sequence[Target]) -> Sequence[Echo]:
    """Return the record of the new primary's Region."""
    arn, region = targets[-1].resource, request.primary_region
    return (Echo("UpdatePrimaryRegion", region, arn, parameters={"keyId": arn, "primaryRegion": region}),)


def relatives_synchronized(_request: KeyRequest, _response: Response, targets: Sequence[Target]) -> Sequence[Echo]:
    """Return the record of a change of a primary that was copied to its replicas, if it has any."""
    active = targets[0].key
    return () if active is None else synchronization_of(active.key)


def synchronization_of(key: KmsKey) -> Sequence[Echo]:
    """Return the record that a change of a key was copied to its replicas; none unless it is a primary with some."""
    if key.is_replica or not key.relatives:
        return ()
    return (Echo("SynchronizeMultiRegionKey", key.region, key.arn, internal=True),)


def _latest_primary(reader: Reader, context: Context, active: ActiveKey) -> KmsKey:
    primary = latest(context, reader, active)
    multi_region.require_primary(primary)
    return primary


def _require_region(context: Context, region: str) -> None:
    served = context.backends.regions
    if region not in served:
        raise ValidationException(f"Region {region} is not served here; this server serves {', '.join(served)}.")
    if partition(region) != partition(context.region):
        raise UnsupportedOperationException(f"Region {region} is in another partition than {context.region}.")


def _own_properties(context: Context, request: ReplicateKeyRequest, replica: KmsKey) -> KmsKey:
    """Return the replica with the properties it does not share: those of the request, or the defaults of a new key."""
    replica = replace(
        replica,
        description=request.description or "",
        policy=default_policy(root_arn(replica.region, replica.account)),
        tags=merge_tags((), [tag.pair for tag in request.tags or ()]),
    )
    if request.policy is None:
        return replica
    bypass = bool(request.bypass_policy_lockout_safety_check)
    policy, pinned = accepted_policy(context, request, request.policy, replica, bypass=bypass)
    return replace(replica, policy=policy, pinned=pinned)
