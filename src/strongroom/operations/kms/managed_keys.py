"""AWS managed keys: ``alias/aws/SERVICE``, made when they are first needed.

Source: KMS Developer Guide, "AWS managed keys". Their policy lets all principals of the account use them, but only
through the service. They cannot be changed, disabled or deleted, because no policy allows it. The service rotates them.

The service makes such a key by itself, also if the call that needs it is refused in the end. So this is an event of its
own in the audit log.
"""

from msgspec.structs import replace

from strongroom.clock import DAY
from strongroom.entropy import uuid
from strongroom.keys.arns import AliasLocator, KeyIdForms, KeyLocator, parse_key_id, root_arn
from strongroom.keys.key_policy import managed_policy
from strongroom.keys.kms_key import KeyMaterial, KeyMaterialState, KmsKey, Rotation, new_key
from strongroom.keys.names import RESERVED_ALIAS_PREFIX
from strongroom.keys.specs import KeyManager, KeySpec, KeyUsage, Origin
from strongroom.keys.states import KeyState
from strongroom.operations.authorization import would_allow
from strongroom.operations.context import Context
from strongroom.operations.kms.key_changes import NO_CHANGES, KeyChanges, change_keys_recorded, prepared_material
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.operations.planned_events import PlannedEvent
from strongroom.operations.shapes import Request
from strongroom.operations.targets import Target
from strongroom.snapshot.miss import MustWait
from strongroom.store.protocol import Reader
from strongroom.store.records import AliasRecord
from strongroom.store.scopes import AccountScope


def ensure_managed_key(context: Context, action: str, key_id: str) -> None:
    """Make the key of an ``alias/aws/…`` in the caller's account if it is needed now and does not exist.

    As on AWS, it is needed when its service first calls on behalf of a principal of the account, or when a caller
    describes it. It is only made for callers who may then do what they ask for; for others there is none yet. Raises
    MustWait if the call may not wait where it is, and what ``parse_key_id`` raises.
    """
    account = context.caller.account
    if not account:
        return
    locator = parse_key_id(key_id, account, context.region, KeyIdForms.ANY)
    if not isinstance(locator, AliasLocator) or locator.account != account:
        return
    service = locator.name.removeprefix(RESERVED_ALIAS_PREFIX)
    if context.backends.snapshot.alias(locator, may_wait=context.may_wait) is None and _is_needed(
        context, action, service
    ):
        if not context.may_wait:
            raise MustWait
        key = _new_key(context, locator, service)
        if _may_use(context, action, locator, key):
            _make(context, locator, key)
            context.backends.snapshot.refresh()


def _is_needed(context: Context, action: str, service: str) -> bool:
    via = context.origin.via_service
    if via is not None:
        return _label(via) == service
    if action != "kms:DescribeKey":
        return False
    with context.read() as reader:
        return any(_label(name) == service for name in reader.services())


def _label(service: str) -> str:
    return service.partition(".")[0]


def _may_use(context: Context, action: str, alias: AliasLocator, key: KmsKey) -> bool:
    """Tell whether the caller would be allowed the action if there were the key already."""
    active = context.backends.snapshot.active(replace(key, aliases=(alias.name,)))
    target = Target(action, key.arn, active, alias.name, policy=active.policy)
    return would_allow(context, target, context.request or Request())


def _new_key(context: Context, alias: AliasLocator, service: str) -> KmsKey:
    """Return the key of a service as it will be, without key material."""
    days = context.backends.managed_rotation_days
    locator = KeyLocator(alias.account, alias.region, uuid(context.backends.entropy))
    key = new_key(
        locator,
        spec=KeySpec.SYMMETRIC_DEFAULT,
        usage=KeyUsage.ENCRYPT_DECRYPT,
        origin=Origin.AWS_KMS,
        description=f"Default key that protects my {service} data when no other key is defined",
        policy=managed_policy(service, alias.region, alias.account, root_arn(alias.region, alias.account)),
        multi_region=False,
        tags=(),
        material=None,
        now=context.now,
    )
    rotation = Rotation(enabled=True, period_days=days, next_at=context.now + days * DAY)
    return replace(key, manager=KeyManager.AWS, rotation=rotation, state=KeyState.ENABLED)


def _make(context: Context, alias: AliasLocator, key: KmsKey) -> None:
    def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
        if reader.alias(alias) is not None:
            # Another request has made the key in the meantime.
            return NO_CHANGES
        _, token, owner, _ = prepared.new(key)
        material = KeyMaterial(owner.material_id, token, KeyMaterialState.CURRENT, context.now)
        record = AliasRecord(alias, key.key_id, context.now, context.now)
        return KeyChanges(
            added=(replace(key, materials=(material,)),),
            new_aliases=(record,),
            events=(PlannedEvent("CreateKey", key.locator, {"aliasName": alias.name}),),
        )

    with prepared_material(context) as prepared:
        change_keys_recorded(context.backends.store, prepared, plan, context.record_events, AccountScope(alias.account))
