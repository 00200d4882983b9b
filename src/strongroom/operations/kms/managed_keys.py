"""AWS managed keys: ``alias/aws/SERVICE``, made when first needed, fixed in everything else.

Source: KMS Developer Guide, "AWS managed keys". Their policy lets everyone in the account use them, but only through
the service; nobody can change, disable or delete them, because no policy allows it. The service rotates them.
"""

from msgspec.structs import replace

from strongroom.clock import DAY
from strongroom.entropy import uuid
from strongroom.keys.arns import AliasLocator, KeyIdForms, KeyLocator, parse_key_id, root_arn
from strongroom.keys.key_policy import managed_policy
from strongroom.keys.kms_key import KeyMaterial, KeyMaterialState, Rotation, new_key
from strongroom.keys.names import RESERVED_ALIAS_PREFIX
from strongroom.keys.specs import KeyManager, KeySpec, KeyUsage, Origin
from strongroom.operations.context import Context
from strongroom.operations.kms.key_material import generate_material
from strongroom.snapshot.miss import MustWait
from strongroom.store.records import AliasRecord


def ensure_managed_key(context: Context, action: str, key_id: str) -> None:
    """Make the key behind an ``alias/aws/…`` of the caller's account if it is needed now and not there.

    As on AWS, it is needed when its service first calls for somebody in the account, or when somebody describes it.
    Raises MustWait where the call may not, and what ``parse_key_id`` raises.
    """
    account = context.caller.account
    if RESERVED_ALIAS_PREFIX not in key_id or not account:
        return
    locator = parse_key_id(key_id, account, context.region, KeyIdForms.ANY)
    if not isinstance(locator, AliasLocator) or locator.account != account:
        return
    service = locator.name.removeprefix(RESERVED_ALIAS_PREFIX)
    if context.backends.snapshot.alias(locator) is None and _is_needed(context, action, service):
        if not context.may_wait:
            raise MustWait
        _make(context, locator, service)
        context.backends.snapshot.refresh()


def _is_needed(context: Context, action: str, service: str) -> bool:
    via = context.origin.via_service
    if via is not None:
        return _label(via) == service
    if action != "kms:DescribeKey":
        return False
    with context.backends.store.read() as reader:
        return any(_label(name) == service for name in reader.services())


def _label(service: str) -> str:
    return service.partition(".")[0]


def _make(context: Context, alias: AliasLocator, service: str) -> None:
    backends, days = context.backends, context.backends.managed_rotation_days
    locator = KeyLocator(alias.account, alias.region, uuid(backends.entropy))
    material_id, token = generate_material(backends.vault, backends.entropy, locator, KeySpec.SYMMETRIC_DEFAULT)
    key = new_key(
        locator,
        spec=KeySpec.SYMMETRIC_DEFAULT,
        usage=KeyUsage.ENCRYPT_DECRYPT,
        origin=Origin.AWS_KMS,
        description=f"Default key that protects my {service} data when no other key is defined",
        policy=managed_policy(service, alias.region, alias.account, root_arn(alias.region, alias.account)),
        multi_region=False,
        tags=(),
        material=KeyMaterial(material_id, token, KeyMaterialState.CURRENT, context.now),
        now=context.now,
    )
    rotation = Rotation(enabled=True, period_days=days, next_at=context.now + days * DAY)
    with backends.store.transaction() as transaction:
        # Somebody else may have been first.
        if transaction.alias(alias) is None:
            transaction.add_key(replace(key, manager=KeyManager.AWS, rotation=rotation))
            transaction.put_alias(AliasRecord(alias, key.key_id, context.now, context.now), None)
