"""Custom key stores: described, connected, disconnected and deleted.

An external key store is connected if its proxy says that it is healthy. Stores in AWS CloudHSM have no key back end in
this release, so their connection fails.
"""

import logging
from collections.abc import Callable

import msgspec

from strongroom.crypto.external_keys import KeyUser
from strongroom.entropy import uuid
from strongroom.errors import (
    CustomKeyStoreHasCMKsException,
    CustomKeyStoreNotFoundException,
    TargetChanged,
    ValidationException,
)
from strongroom.keys.custom_key_stores import (
    ConnectionErrorCode,
    ConnectionState,
    CustomKeyStore,
    CustomKeyStoreType,
    XksProxyConnectivity,
    connect,
    disconnect,
    require_changeable,
    require_connectable,
)
from strongroom.keys.xks_failures import XksError, connection_error
from strongroom.operations.context import Backends, Context
from strongroom.operations.paging import PageSize, page
from strongroom.operations.shapes import (
    CustomKeyStoreId,
    CustomKeyStoreName,
    Empty,
    Limit,
    Marker,
    Request,
    Response,
)
from strongroom.store.protocol import Transaction
from strongroom.store.scopes import AccountScope
from strongroom.store.subjects.custom_key_stores import CustomKeyStoreReader

logger = logging.getLogger(__name__)

_PAGE = PageSize(default=50, maximum=1000)


class DescribeCustomKeyStoresRequest(Request):
    """The request of DescribeCustomKeyStores."""

    custom_key_store_id: CustomKeyStoreId | None = None
    custom_key_store_name: CustomKeyStoreName | None = None
    limit: Limit | None = None
    marker: Marker | None = None


class XksProxyConfiguration(msgspec.Struct, rename="pascal", frozen=True, omit_defaults=True):
    """The proxy of an external key store, without its secret."""

    connectivity: XksProxyConnectivity
    access_key_id: str
    uri_endpoint: str
    uri_path: str
    vpc_endpoint_service_name: str | None = None
    vpc_endpoint_service_owner: str | None = None


class CustomKeyStoresListEntry(msgspec.Struct, rename="pascal", frozen=True, omit_defaults=True, kw_only=True):
    """A custom key store in a response."""

    custom_key_store_id: str
    custom_key_store_name: str
    cloud_hsm_cluster_id: str | None = None
    trust_anchor_certificate: str | None = None
    connection_state: ConnectionState
    connection_error_code: ConnectionErrorCode | None = None
    creation_date: float
    custom_key_store_type: CustomKeyStoreType
    xks_proxy_configuration: XksProxyConfiguration | None = None


class DescribeCustomKeyStoresResponse(Response):
    """The response of DescribeCustomKeyStores."""

    custom_key_stores: list[CustomKeyStoresListEntry]
    truncated: bool
    next_marker: str | None = None


class CustomKeyStoreRequest(Request):
    """The request of ConnectCustomKeyStore, DisconnectCustomKeyStore and DeleteCustomKeyStore."""

    custom_key_store_id: CustomKeyStoreId


def describe_custom_key_stores(
    context: Context, request: DescribeCustomKeyStoresRequest
) -> DescribeCustomKeyStoresResponse:
    """Describe one store, or all of the account in this Region."""
    if request.custom_key_store_id is not None and request.custom_key_store_name is not None:
        raise ValidationException("You cannot specify both CustomKeyStoreId and CustomKeyStoreName.")
    asked = page("DescribeCustomKeyStores", request.limit, request.marker, _PAGE)
    with context.read() as reader:
        found = [store for store in all_stores(context, reader) if _is_asked_for(store, request)]
    if not found and (request.custom_key_store_id or request.custom_key_store_name):
        raise CustomKeyStoreNotFoundException(None)
    rest = [store for store in found if store.store_id > asked.after]
    kept, marker = asked.cut(rest[: asked.size + 1], lambda store: store.store_id)
    return DescribeCustomKeyStoresResponse(
        custom_key_stores=[_entry(store) for store in kept], truncated=marker is not None, next_marker=marker
    )


def connect_custom_key_store(context: Context, request: CustomKeyStoreRequest) -> Empty:
    """Connect a store; DescribeCustomKeyStores shows the outcome. A connected store stays as it is.

    The proxy is called before the transaction. If the store has changed by then, the call begins again.
    """
    with context.read() as reader:
        store = find_custom_key_store(context, reader, request.custom_key_store_id)
    require_connectable(store)
    if store.state is ConnectionState.CONNECTED:
        return Empty()
    error = _tried_connection(context, store)

    def connected(_: Transaction, current: CustomKeyStore) -> CustomKeyStore:
        if current != store:
            raise TargetChanged
        return connect(current, error)

    return change_store(context, store.store_id, connected)


def _tried_connection(context: Context, store: CustomKeyStore) -> ConnectionErrorCode | None:
    """Return why a store cannot be connected, None if it can."""
    if store.type is CustomKeyStoreType.AWS_CLOUDHSM:
        return ConnectionErrorCode.CLUSTER_NOT_FOUND
    try:
        context.backends.key_managers.require_healthy(store, context.key_user())
    except XksError as error:
        logger.warning("custom key store %s cannot be connected: %s", store.store_id, error)
        return connection_error(error)
    return None


def require_healthy_proxy(backends: Backends, store: CustomKeyStore) -> None:
    """Ask a proxy for its health on the service's own behalf; raises XksError, and KmsError if it cannot be asked.

    The operation's name is that of KMS for its own checks (XKS Proxy API Specification 1.0.3, "GetHealthStatus").
    """
    user = KeyUser("KmsHealthCheck", uuid(backends.entropy), "kms.amazonaws.com")
    backends.key_managers.require_healthy(store, user)


def disconnect_custom_key_store(context: Context, request: CustomKeyStoreRequest) -> Empty:
    """Disconnect a store."""
    return change_store(context, request.custom_key_store_id, lambda _, store: disconnect(store))


def delete_custom_key_store(context: Context, request: CustomKeyStoreRequest) -> Empty:
    """Delete a store that is disconnected and holds no key."""

    def remove(transaction: Transaction) -> None:
        store = find_custom_key_store(context, transaction, request.custom_key_store_id)
        require_changeable(store, while_connected=False)
        if transaction.has_keys_in(store.store_id):
            raise CustomKeyStoreHasCMKsException(None)
        transaction.remove_custom_key_store(store)

    context.backends.store.write(remove, AccountScope(context.caller.account))
    return Empty()


def find_custom_key_store(context: Context, reader: CustomKeyStoreReader, store_id: str) -> CustomKeyStore:
    """Return a store of the caller's account in this Region; raises CustomKeyStoreNotFoundException."""
    store = reader.custom_key_store(context.caller.account, context.region, store_id)
    if store is None:
        raise CustomKeyStoreNotFoundException(None)
    return store


def all_stores(context: Context, reader: CustomKeyStoreReader) -> list[CustomKeyStore]:
    """Return the stores of the caller's account in this Region, by id."""
    return reader.custom_key_stores(context.caller.account, context.region)


def change_store(
    context: Context, store_id: str, transition: Callable[[Transaction, CustomKeyStore], CustomKeyStore]
) -> Empty:
    """Change a store durably; raises CustomKeyStoreNotFoundException, and what the transition raises.

    ``transition`` may be run again, so it must have no effect but its result.
    """

    def change(transaction: Transaction) -> None:
        before = find_custom_key_store(context, transaction, store_id)
        transaction.put_custom_key_store(transition(transaction, before))

    context.backends.store.write(change, AccountScope(context.caller.account))
    return Empty()


def _is_asked_for(store: CustomKeyStore, request: DescribeCustomKeyStoresRequest) -> bool:
    by_id = request.custom_key_store_id is None or request.custom_key_store_id == store.store_id
    return by_id and (request.custom_key_store_name is None or request.custom_key_store_name == store.name)


def _entry(store: CustomKeyStore) -> CustomKeyStoresListEntry:
    proxy = store.xks
    return CustomKeyStoresListEntry(
        custom_key_store_id=store.store_id,
        custom_key_store_name=store.name,
        cloud_hsm_cluster_id=store.cluster_id,
        trust_anchor_certificate=store.trust_anchor,
        connection_state=store.state,
        connection_error_code=store.error,
        creation_date=store.created_at,
        custom_key_store_type=store.type,
        xks_proxy_configuration=None if proxy is None else XksProxyConfiguration(**msgspec.structs.asdict(proxy)),
    )
