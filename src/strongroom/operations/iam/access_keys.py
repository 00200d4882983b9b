"""Access keys of users, and of the account's root. A secret is returned only when it is created."""

from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec
from typing_extensions import override

from strongroom.crypto.access_keys import new_access_key
from strongroom.crypto.binding import access_key_binding
from strongroom.errors import LimitExceededException, NoSuchEntityException
from strongroom.iam import PrincipalKind
from strongroom.iam.entities import User
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import (
    NamesUser,
    authorized,
    require_name,
    target_of,
)
from strongroom.operations.iam.shapes import AccessKeyId, ExistingUserName, PagedRequest, PagedResponse, cut
from strongroom.operations.shapes import Empty, Request, Response
from strongroom.operations.targets import Target
from strongroom.store.protocol import Transaction
from strongroom.store.records import AccessKeyRecord
from strongroom.store.scopes import AccountScope
from strongroom.store.subjects.identities import IdentityReader

_MAX_ACCESS_KEYS = 2


class Status(StrEnum):
    """Whether an access key can be used."""

    ACTIVE = "Active"
    INACTIVE = "Inactive"
    EXPIRED = "Expired"


class UserAccessKeysRequest(Request):
    """The request of CreateAccessKey; without a name, the key is the caller's."""

    user_name: ExistingUserName | None = None


class AccessKeyShape(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """An access key as CreateAccessKey returns it, with its secret."""

    user_name: str | None
    access_key_id: str
    status: Status = Status.ACTIVE
    secret_access_key: str
    create_date: float

    @override
    def __repr__(self) -> str:
        return f"AccessKeyShape({self.access_key_id})"


class CreateAccessKeyResponse(Response):
    """The response of CreateAccessKey."""

    access_key: AccessKeyShape


class ListAccessKeysRequest(PagedRequest):
    """The request of ListAccessKeys; without a name, the caller's keys are listed."""

    user_name: ExistingUserName | None = None


class AccessKeyMetadata(msgspec.Struct, rename="pascal", frozen=True):
    """An access key in a list."""

    user_name: str | None
    access_key_id: str
    status: Status
    create_date: float


class ListAccessKeysResponse(PagedResponse, kw_only=True):
    """The response of ListAccessKeys."""

    access_key_metadata: list[AccessKeyMetadata]


class UpdateAccessKeyRequest(Request):
    """The request of UpdateAccessKey."""

    access_key_id: AccessKeyId
    status: Status
    user_name: ExistingUserName | None = None


class DeleteAccessKeyRequest(Request):
    """The request of DeleteAccessKey."""

    access_key_id: AccessKeyId
    user_name: ExistingUserName | None = None


class GetAccessKeyLastUsedRequest(Request):
    """The request of GetAccessKeyLastUsed."""

    access_key_id: AccessKeyId


class AccessKeyLastUsed(msgspec.Struct, rename="pascal", frozen=True):
    """When, for what and where an access key was last used; ``N/A`` if never."""

    last_used_date: float | None
    service_name: str
    region: str


class GetAccessKeyLastUsedResponse(Response):
    """The response of GetAccessKeyLastUsed."""

    user_name: str | None
    access_key_last_used: AccessKeyLastUsed


def locate_owner(context: Context, request: NamesUser, action: str) -> Sequence[Target]:
    """Return the target: the user whose access keys or other credentials they are; without a name, the caller."""
    name = request.user_name or context.caller.user_name
    return (Target(action, context.caller.arn),) if name is None else (target_of(context, action, User, name),)


def on_owner(action: str) -> Callable[[Context, NamesUser], Sequence[Target]]:
    """Return the locator of requests about the credentials of a user."""
    return lambda context, request: locate_owner(context, request, action)


def locate_last_used(context: Context, request: GetAccessKeyLastUsedRequest) -> Sequence[Target]:
    """Return the target: the user whose access key it is."""
    action = "iam:GetAccessKeyLastUsed"
    with context.read() as reader:
        record = reader.access_key(request.access_key_id)
        owner = None if record is None else reader.entity_by_id(record.principal)
    if owner is None or owner.account != context.caller.account:
        return (Target(action),)
    return (Target(action, owner.arn, tags=owner.tags),)


def create_access_key(context: Context, request: UserAccessKeysRequest) -> CreateAccessKeyResponse:
    """Make an access key; a principal has at most two."""
    key = new_access_key("AKIA", context.backends.entropy, context.caller.account)
    wrapped = context.backends.secrets.wrap(key.secret.encode(), access_key_binding(key.access_key_id))

    def add(transaction: Transaction) -> str | None:
        owner, name = _owner(context, transaction, request.user_name)
        record = AccessKeyRecord(
            access_key_id=key.access_key_id,
            account=context.caller.account,
            principal=owner,
            wrapped_secret=wrapped,
            active=True,
            created_at=context.now,
        )
        if not transaction.add_access_key(record, _MAX_ACCESS_KEYS):
            raise LimitExceededException(f"Cannot exceed quota for AccessKeysPerUser: {_MAX_ACCESS_KEYS}")
        return name

    name = context.backends.store.write(add, AccountScope(context.caller.account))
    return CreateAccessKeyResponse(
        access_key=AccessKeyShape(
            user_name=name, access_key_id=key.access_key_id, secret_access_key=key.secret, create_date=context.now
        )
    )


def list_access_keys(context: Context, request: ListAccessKeysRequest) -> ListAccessKeysResponse:
    """List access keys, without their secrets."""
    with context.read() as reader:
        owner, name = _owner(context, reader, request.user_name)
        keys = sorted(reader.access_keys(context.caller.account, owner), key=lambda key: key.access_key_id)
    kept, more, marker = cut(f"ListAccessKeys {owner}", request, keys, lambda key: key.access_key_id)
    entries = [
        AccessKeyMetadata(name, key.access_key_id, Status.ACTIVE if key.active else Status.INACTIVE, key.created_at)
        for key in kept
    ]
    return ListAccessKeysResponse(access_key_metadata=entries, is_truncated=more, marker=marker)


def update_access_key(context: Context, request: UpdateAccessKeyRequest) -> Empty:
    """Activate or deactivate an access key; no call is authenticated by an inactive one after this has answered."""

    def switch(transaction: Transaction) -> None:
        record = _required_key(context, transaction, request.user_name, request.access_key_id)
        transaction.set_access_key_active(record, active=request.status is Status.ACTIVE)

    context.backends.store.write(switch, AccountScope(context.caller.account))
    return Empty()


def delete_access_key(context: Context, request: DeleteAccessKeyRequest) -> Empty:
    """Delete an access key."""

    def remove(transaction: Transaction) -> None:
        record = _required_key(context, transaction, request.user_name, request.access_key_id)
        transaction.remove_access_key(record)

    context.backends.store.write(remove, AccountScope(context.caller.account))
    return Empty()


def get_access_key_last_used(context: Context, request: GetAccessKeyLastUsedRequest) -> GetAccessKeyLastUsedResponse:
    """Return when an access key was last used, to within some minutes."""
    with context.read() as reader:
        record = reader.access_key(request.access_key_id)
        if record is None or record.account != context.caller.account:
            raise NoSuchEntityException(f"The Access Key with id {request.access_key_id} cannot be found")
        user = reader.entity_by_id(record.principal)
    return GetAccessKeyLastUsedResponse(
        user_name=None if user is None else user.name,
        access_key_last_used=AccessKeyLastUsed(
            record.last_used_at, record.last_used_service or "N/A", record.last_used_region or "N/A"
        ),
    )


def _owner(context: Context, reader: IdentityReader, user_name: str | None) -> tuple[str, str | None]:
    """Return the owner that access keys of a user, or of the caller, are stored under, and the user's name."""
    name = user_name or context.caller.user_name
    if name is None and context.caller.kind is PrincipalKind.ACCOUNT_ROOT:
        return context.caller.arn, None
    user = authorized(context, reader, User, require_name(name))
    return user.unique_id, user.name


def _required_key(
    context: Context, reader: IdentityReader, user_name: str | None, access_key_id: str
) -> AccessKeyRecord:
    owner, _ = _owner(context, reader, user_name)
    for record in reader.access_keys(context.caller.account, owner):
        if record.access_key_id == access_key_id:
            return record
    raise NoSuchEntityException(f"The Access Key with id {access_key_id} cannot be found")
