"""DescribeKey, ListKeys, EnableKey, DisableKey and UpdateKeyDescription."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from strongroom.keys import imported, lifecycle
from strongroom.keys.arns import key_arn
from strongroom.operations.context import Context
from strongroom.operations.kms.key_changes import modify
from strongroom.operations.kms.key_metadata import KeyMetadata, key_metadata, key_store_of
from strongroom.operations.paging import PageSize, page
from strongroom.operations.shapes import (
    Description,
    Empty,
    KeyId,
    Limit,
    Marker,
    Request,
    RequestWithGrantTokens,
    Response,
)
from strongroom.snapshot.active_key import ActiveKey

_PAGE = PageSize(default=100, maximum=1000)


class ResourceOwner(StrEnum):
    """Whose keys ListKeys lists."""

    SELF = "SELF"
    OTHER_ACCOUNTS_VIA_RAM = "OTHER_ACCOUNTS_VIA_RAM"


class KeyRequest(Request):
    """The request of EnableKey, DisableKey and other actions that need only a key."""

    key_id: KeyId


class KeyIdResponse(Response):
    """The response of CancelKeyDeletion and RotateKeyOnDemand: the key's ARN."""

    key_id: str


class DescribeKeyRequest(RequestWithGrantTokens):
    """The request of DescribeKey."""

    key_id: KeyId


class DescribeKeyResponse(Response):
    """The response of DescribeKey."""

    key_metadata: KeyMetadata


class UpdateKeyDescriptionRequest(KeyRequest):
    """The request of UpdateKeyDescription."""

    description: Description


class ListKeysRequest(Request):
    """The request of ListKeys."""

    limit: Limit | None = None
    marker: Marker | None = None
    resource_owners: Annotated[list[ResourceOwner], Meta(min_length=1, max_length=2)] | None = None


class KeyListEntry(msgspec.Struct, rename="pascal", frozen=True):
    """One key in a list."""

    key_id: str
    key_arn: str


class ListKeysResponse(Response):
    """The response of ListKeys."""

    keys: list[KeyListEntry]
    truncated: bool
    next_marker: str | None = None


def describe_key(context: Context, _request: DescribeKeyRequest, active: ActiveKey) -> DescribeKeyResponse:
    """Return the key's metadata."""
    return DescribeKeyResponse(
        key_metadata=key_metadata(imported.as_of(active.key, context.now), key_store_of(context, active.key))
    )


def enable_key(context: Context, _request: KeyRequest, active: ActiveKey) -> Empty:
    """Allow use of the key again."""
    modify(context, active, lifecycle.enable)
    return Empty()


def disable_key(context: Context, _request: KeyRequest, active: ActiveKey) -> Empty:
    """Forbid use of the key. Every call that starts after this one has returned is refused."""
    modify(context, active, lifecycle.disable)
    return Empty()


def update_key_description(context: Context, request: UpdateKeyDescriptionRequest, active: ActiveKey) -> Empty:
    """Replace the description."""
    modify(context, active, lambda key: replace(key, description=request.description))
    return Empty()


def list_keys(context: Context, request: ListKeysRequest) -> ListKeysResponse:
    """List the account's keys in this Region."""
    account, region = context.caller.account, context.region
    asked = page(f"ListKeys {request.resource_owners or ''}", request.limit, request.marker, _PAGE)
    if request.resource_owners is not None and ResourceOwner.SELF not in request.resource_owners:
        return ListKeysResponse(keys=[], truncated=False)
    with context.read() as reader:
        found = reader.keys(account, region, asked.after, asked.size + 1)
    kept, marker = asked.cut(found, lambda locator: locator.key_id)
    entries = [KeyListEntry(key_id=each.key_id, key_arn=key_arn(region, account, each.key_id)) for each in kept]
    return ListKeysResponse(keys=entries, truncated=marker is not None, next_marker=marker)
