"""Custom key stores: back ends outside the service that hold the material of some KMS keys, and their connection.

Source: KMS API Reference, CustomKeyStoresListEntry, CustomKeyStoreInvalidStateException. The rules:

- Connecting is possible unless the store is FAILED or DISCONNECTING; a failed one must be disconnected first.
- Disconnecting is possible unless it is DISCONNECTED or DISCONNECTING already.
- Most properties change only while DISCONNECTED; the name, and of an external store also its credential and URI path,
  also while CONNECTED.
- A store is deleted only while DISCONNECTED and without keys.
"""

from enum import StrEnum

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from strongroom.errors import CustomKeyStoreInvalidStateException, KMSInvalidStateException
from strongroom.keys.states import KeyState

MAX_CUSTOM_KEY_STORES = 10
"""Resource quota: stores in an account and Region (KMS Developer Guide, "Quotas")."""


class CustomKeyStoreType(StrEnum):
    """The kind of back end of a store."""

    AWS_CLOUDHSM = "AWS_CLOUDHSM"
    EXTERNAL_KEY_STORE = "EXTERNAL_KEY_STORE"


class ConnectionState(StrEnum):
    """Whether a store can be used."""

    CONNECTED = "CONNECTED"
    CONNECTING = "CONNECTING"
    FAILED = "FAILED"
    DISCONNECTED = "DISCONNECTED"
    DISCONNECTING = "DISCONNECTING"


class ConnectionErrorCode(StrEnum):
    """Why a store could not be connected."""

    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    CLUSTER_NOT_FOUND = "CLUSTER_NOT_FOUND"
    NETWORK_ERRORS = "NETWORK_ERRORS"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    INSUFFICIENT_CLOUDHSM_HSMS = "INSUFFICIENT_CLOUDHSM_HSMS"
    USER_LOCKED_OUT = "USER_LOCKED_OUT"
    USER_NOT_FOUND = "USER_NOT_FOUND"
    USER_LOGGED_IN = "USER_LOGGED_IN"
    SUBNET_NOT_FOUND = "SUBNET_NOT_FOUND"
    INSUFFICIENT_FREE_ADDRESSES_IN_SUBNET = "INSUFFICIENT_FREE_ADDRESSES_IN_SUBNET"
    XKS_PROXY_ACCESS_DENIED = "XKS_PROXY_ACCESS_DENIED"
    XKS_PROXY_NOT_REACHABLE = "XKS_PROXY_NOT_REACHABLE"
    XKS_VPC_ENDPOINT_SERVICE_NOT_FOUND = "XKS_VPC_ENDPOINT_SERVICE_NOT_FOUND"
    XKS_PROXY_INVALID_RESPONSE = "XKS_PROXY_INVALID_RESPONSE"
    XKS_PROXY_INVALID_CONFIGURATION = "XKS_PROXY_INVALID_CONFIGURATION"
    XKS_VPC_ENDPOINT_SERVICE_INVALID_CONFIGURATION = "XKS_VPC_ENDPOINT_SERVICE_INVALID_CONFIGURATION"
    XKS_PROXY_TIMED_OUT = "XKS_PROXY_TIMED_OUT"
    XKS_PROXY_INVALID_TLS_CONFIGURATION = "XKS_PROXY_INVALID_TLS_CONFIGURATION"


class XksProxyConnectivity(StrEnum):
    """How an external key store's proxy is reached."""

    PUBLIC_ENDPOINT = "PUBLIC_ENDPOINT"
    VPC_ENDPOINT_SERVICE = "VPC_ENDPOINT_SERVICE"


class XksProxy(msgspec.Struct, frozen=True, kw_only=True):
    """The proxy of an external key store. Its secret is kept by the store itself."""

    connectivity: XksProxyConnectivity
    access_key_id: str
    uri_endpoint: str
    uri_path: str
    vpc_endpoint_service_name: str | None = None
    vpc_endpoint_service_owner: str | None = None


class CustomKeyStore(msgspec.Struct, frozen=True, kw_only=True):
    """A custom key store. ``wrapped_secret`` is the cluster's password or the proxy's secret, wrapped.

    ``connections`` is how many times it was connected.
    """

    account: str
    region: str
    store_id: str
    name: str
    type: CustomKeyStoreType
    created_at: float
    wrapped_secret: bytes
    state: ConnectionState = ConnectionState.DISCONNECTED
    error: ConnectionErrorCode | None = None
    cluster_id: str | None = None
    trust_anchor: str | None = None
    xks: XksProxy | None = None
    connections: int = 0

    @override
    def __repr__(self) -> str:
        return f"CustomKeyStore({self.store_id}, {self.state})"


NOT_CONNECTED = (
    "This KMS key is in a custom key store that is not connected to its external key store proxy. "
    "Connect the external key store and try the request again."
)
"""KMS's words for a key in an external key store that is not connected (KMS Developer Guide, "Troubleshooting")."""

CLUSTER_NOT_CONNECTED = (
    "This KMS key is in a custom key store that is not connected to its AWS CloudHSM cluster. "
    "Connect the custom key store and try the request again."
)
"""The same for a key in AWS CloudHSM, also while its cluster does not answer."""

_KEYS_UNUSABLE = {
    CustomKeyStoreType.EXTERNAL_KEY_STORE: NOT_CONNECTED,
    CustomKeyStoreType.AWS_CLOUDHSM: CLUSTER_NOT_CONNECTED,
}
_MAY_CONNECT = frozenset({ConnectionState.DISCONNECTED, ConnectionState.CONNECTING, ConnectionState.CONNECTED})
_MAY_DISCONNECT = frozenset({ConnectionState.CONNECTED, ConnectionState.CONNECTING, ConnectionState.FAILED})
_MAY_RENAME = frozenset({ConnectionState.CONNECTED, ConnectionState.DISCONNECTED})


def connect(store: CustomKeyStore, error: ConnectionErrorCode | None) -> CustomKeyStore:
    """Return the store after an attempt to connect, which failed if there is an error."""
    require_connectable(store)
    if error is not None:
        return replace(store, state=ConnectionState.FAILED, error=error)
    return replace(store, state=ConnectionState.CONNECTED, error=None, connections=store.connections + 1)


def require_connectable(store: CustomKeyStore) -> None:
    """Refuse to connect a store in its present state; raises CustomKeyStoreInvalidStateException."""
    _require(store, _MAY_CONNECT)


def disconnect(store: CustomKeyStore) -> CustomKeyStore:
    """Return the store disconnected."""
    _require(store, _MAY_DISCONNECT)
    return replace(store, state=ConnectionState.DISCONNECTED, error=None)


def with_usable_keys(store: CustomKeyStore | None, kind: CustomKeyStoreType) -> CustomKeyStore:
    """Return a store whose keys can be used: raises KMSInvalidStateException for one that is not connected, or none."""
    if store is None or store.state is not ConnectionState.CONNECTED:
        raise KMSInvalidStateException(_KEYS_UNUSABLE[kind])
    return store


def require_connected(store: CustomKeyStore) -> None:
    """Refuse to use a store that is not connected; raises CustomKeyStoreInvalidStateException."""
    if store.type is CustomKeyStoreType.EXTERNAL_KEY_STORE and store.state is not ConnectionState.CONNECTED:
        raise CustomKeyStoreInvalidStateException(NOT_CONNECTED)
    _require(store, frozenset({ConnectionState.CONNECTED}))


def key_state_in(store: CustomKeyStore, state: KeyState) -> KeyState:
    """Return the state that a key in a store shows: ``Unavailable`` unless the store is connected.

    A key that is pending deletion stays so (KMS Developer Guide, "Disconnect an external key store").
    """
    if store.state is ConnectionState.CONNECTED or state is KeyState.PENDING_DELETION:
        return state
    return KeyState.UNAVAILABLE


def require_changeable(store: CustomKeyStore, *, while_connected: bool) -> None:
    """Refuse a change that the store's state does not allow; raises CustomKeyStoreInvalidStateException.

    ``while_connected`` tells that only properties change which may change in a connected store.
    """
    _require(store, _MAY_RENAME if while_connected else frozenset({ConnectionState.DISCONNECTED}))


def _require(store: CustomKeyStore, allowed: frozenset[ConnectionState]) -> None:
    if store.state not in allowed:
        raise CustomKeyStoreInvalidStateException(
            f"The custom key store {store.store_id} is in state {store.state}, which does not allow this operation."
        )
