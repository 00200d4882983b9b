"""CreateAlias, UpdateAlias, DeleteAlias and ListAliases."""

from collections.abc import Sequence

import msgspec

from strongroom.errors import AlreadyExistsException, LimitExceededException, TargetChanged, ValidationException
from strongroom.keys.arns import ALIAS_PREFIX, AliasLocator, KeyIdForms, KeyLocator, not_found
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.names import require_customer_alias, require_new_alias
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.keys.states import StateRule, require_state
from strongroom.operations.context import Context
from strongroom.operations.kms.key_changes import latest
from strongroom.operations.kms.targets import on_alias, on_key
from strongroom.operations.paging import PageSize, page
from strongroom.operations.shapes import AliasName, Empty, KeyId, Limit, Marker, Request, Response
from strongroom.operations.targets import Target
from strongroom.snapshot.active_key import ActiveKey
from strongroom.store.protocol import Transaction
from strongroom.store.records import AliasRecord
from strongroom.store.scopes import AccountScope, KeyScope
from strongroom.store.subjects.aliases import AliasReader

_PAGE = PageSize(default=50, maximum=100)
_MAX_ALIASES = 50


class AliasRequest(Request):
    """The request of CreateAlias and UpdateAlias."""

    alias_name: AliasName
    target_key_id: KeyId


class DeleteAliasRequest(Request):
    """The request of DeleteAlias."""

    alias_name: AliasName


class ListAliasesRequest(Request):
    """The request of ListAliases."""

    key_id: KeyId | None = None
    limit: Limit | None = None
    marker: Marker | None = None


class AliasListEntry(msgspec.Struct, rename="pascal", frozen=True):
    """One alias in a list; its target as a bare key id."""

    alias_name: str
    alias_arn: str
    target_key_id: str
    creation_date: float
    last_updated_date: float


class ListAliasesResponse(Response):
    """The response of ListAliases."""

    aliases: list[AliasListEntry]
    truncated: bool
    next_marker: str | None = None


def locate_create_alias(context: Context, request: AliasRequest) -> Sequence[Target]:
    """Ask for permission on the alias and on the key."""
    require_new_alias(request.alias_name)
    return (
        on_alias(context, "kms:CreateAlias", request.alias_name),
        _on_target(context, "kms:CreateAlias", request.target_key_id),
    )


def create_alias(context: Context, request: AliasRequest, active: ActiveKey) -> Empty:
    """Give a key a name."""
    locator = _alias(context, request.alias_name)

    def add(transaction: Transaction) -> None:
        key = latest(context, transaction, active)
        record = AliasRecord(locator, key.key_id, created_at=context.now, updated_at=context.now)
        if transaction.add_alias(record, _MAX_ALIASES):
            return
        if transaction.alias(locator) is not None:
            raise AlreadyExistsException(f"An alias with the name {locator.arn} already exists")
        raise _too_many_aliases()

    context.backends.store.write(add, AccountScope(locator.account), _scope(active))
    return Empty()


def locate_update_alias(context: Context, request: AliasRequest) -> Sequence[Target]:
    """Ask for permission on the alias, its old key and its new key."""
    require_customer_alias(request.alias_name)
    return (
        on_alias(context, "kms:UpdateAlias", request.alias_name),
        on_key(context, "kms:UpdateAlias", request.alias_name),
        _on_target(context, "kms:UpdateAlias", request.target_key_id),
    )


def update_alias(context: Context, request: AliasRequest, old: ActiveKey, new: ActiveKey) -> Empty:
    """Point an alias at another key of the same type and usage. The state of the old key does not matter."""
    locator = _alias(context, request.alias_name)

    def move(transaction: Transaction) -> None:
        record = _authorized(transaction, locator, old)
        key = latest(context, transaction, new)
        require_state(StateRule.ANNOTATE, key.state, key.arn)
        target = transaction.key(KeyLocator(locator.account, locator.region, record.key_id))
        if target is not None and _type(target) != _type(key):
            raise ValidationException(
                f"Alias {locator.arn} cannot be changed from a {target.usage} key of KeySpec {target.spec} "
                f"to a {key.usage} key of KeySpec {key.spec}."
            )
        moved = msgspec.structs.replace(record, key_id=key.key_id, updated_at=context.now)
        limit = None if key.key_id == record.key_id else _MAX_ALIASES
        if not transaction.put_alias(moved, record.key_id, limit):
            raise _too_many_aliases()

    context.backends.store.write(move, AccountScope(locator.account), _scope(old), _scope(new))
    return Empty()


def locate_delete_alias(context: Context, request: DeleteAliasRequest) -> Sequence[Target]:
    """Ask for permission on the alias and on the key."""
    require_customer_alias(request.alias_name)
    return (
        on_alias(context, "kms:DeleteAlias", request.alias_name),
        on_key(context, "kms:DeleteAlias", request.alias_name),
    )


def delete_alias(context: Context, request: DeleteAliasRequest, active: ActiveKey) -> Empty:
    """Remove an alias; the key stays."""
    locator = _alias(context, request.alias_name)

    def remove(transaction: Transaction) -> None:
        transaction.remove_alias(_authorized(transaction, locator, active))

    context.backends.store.write(remove, AccountScope(locator.account), _scope(active))
    return Empty()


def list_aliases(context: Context, request: ListAliasesRequest) -> ListAliasesResponse:
    """List the account's aliases in this Region by name; of one key when it is given."""
    key_id = None
    if request.key_id is not None:
        key = context.find(request.key_id, KeyIdForms.KEY_ONLY).key
        if key.account != context.caller.account:
            raise context.missing(key.locator)
        key_id = key.key_id
    asked = page(f"ListAliases {key_id or ''}", request.limit, request.marker, _PAGE)
    with context.read() as reader:
        found = reader.aliases(context.caller.account, context.region, key_id, asked.after, asked.size + 1)
    kept, marker = asked.cut(found, lambda record: record.locator.name)
    return ListAliasesResponse(
        aliases=[_entry(record) for record in kept], truncated=marker is not None, next_marker=marker
    )


def _on_target(context: Context, action: str, key_id: str) -> Target:
    if key_id.startswith(ALIAS_PREFIX) or f":{ALIAS_PREFIX}" in key_id:
        raise ValidationException("Aliases must refer to keys. Not aliases")
    return on_key(context, action, key_id, KeyIdForms.KEY_ONLY)


def _alias(context: Context, name: str) -> AliasLocator:
    return AliasLocator(context.caller.account, context.region, name)


def _type(key: KmsKey) -> tuple[KeyUsage, bool]:
    """Return the properties that an alias's old and new key must share: usage, and symmetric, asymmetric or HMAC."""
    # Only for encryption are there both symmetric and asymmetric keys; no other usage has more than one type.
    return key.usage, key.spec is KeySpec.SYMMETRIC_DEFAULT


def _scope(active: ActiveKey) -> KeyScope:
    return KeyScope(active.key.account, active.key.key_id)


def _too_many_aliases() -> LimitExceededException:
    return LimitExceededException(f"A key can have at most {_MAX_ALIASES} aliases.")


def _authorized(transaction: AliasReader, locator: AliasLocator, old: ActiveKey) -> AliasRecord:
    """Return an alias in the transaction that changes it; raises NotFoundException.

    Raises TargetChanged unless it still points to the key that the call was authorized for.
    """
    record = transaction.alias(locator)
    if record is None:
        raise not_found(locator)
    if record.key_id != old.key.key_id:
        raise TargetChanged
    return record


def _entry(record: AliasRecord) -> AliasListEntry:
    return AliasListEntry(
        alias_name=record.locator.name,
        alias_arn=record.locator.arn,
        target_key_id=record.key_id,
        creation_date=record.created_at,
        last_updated_date=record.updated_at,
    )
