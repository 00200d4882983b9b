"""CreateCustomKeyStore and UpdateCustomKeyStore: the name and the address of a store."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace
from typing_extensions import override

from strongroom.crypto.binding import custom_key_store_binding
from strongroom.errors import (
    CloudHsmClusterInUseException,
    CustomKeyStoreNameInUseException,
    LimitExceededException,
    TargetChanged,
    ValidationException,
)
from strongroom.keys.custom_key_stores import (
    MAX_CUSTOM_KEY_STORES,
    CustomKeyStore,
    CustomKeyStoreType,
    XksProxy,
    XksProxyConnectivity,
    require_changeable,
)
from strongroom.keys.xks_errors import (
    XksProxyUriEndpointInUseException,
    XksProxyUriInUseException,
    XksProxyVpcEndpointServiceInUseException,
)
from strongroom.keys.xks_failures import XksError, store_error
from strongroom.operations.context import Context
from strongroom.operations.kms.custom_key_stores import all_stores, change_store, find_custom_key_store
from strongroom.operations.shapes import (
    SENSITIVE,
    CustomKeyStoreId,
    CustomKeyStoreName,
    Empty,
    Request,
    Response,
    matching,
)
from strongroom.store.protocol import Reader, Transaction
from strongroom.store.scopes import AccountScope

_ID_BYTES = 9
_ID_DIGITS = 17

ClusterId = Annotated[str, Meta(min_length=19, max_length=24), matching(r"cluster-[2-7a-zA-Z]{11,16}")]
Certificate = Annotated[str, Meta(min_length=1, max_length=5000)]
Password = Annotated[str, Meta(min_length=7, max_length=32), SENSITIVE]
UriEndpoint = Annotated[str, Meta(min_length=10, max_length=128), matching(r"^https://[a-zA-Z0-9.-]+$")]
UriPath = Annotated[
    str,
    Meta(min_length=10, max_length=128),
    matching(r"^(/[a-zA-Z0-9\/_-]+/kms/xks/v\d{1,2})$|^(/kms/xks/v\d{1,2})$"),
]
VpcServiceName = Annotated[
    str,
    Meta(min_length=20, max_length=64),
    matching(r"^(com|eu)\.amazonaws\.vpce\.([a-z]+-){2,3}\d+\.vpce-svc-[0-9a-z]+$"),
]
AccountId = Annotated[str, Meta(min_length=12, max_length=12), matching(r"[0-9]{12}")]


class XksProxyAuthenticationCredential(msgspec.Struct, rename="pascal", frozen=True):
    """The access key with which the service signs its requests to a proxy."""

    access_key_id: Annotated[str, Meta(min_length=20, max_length=30), matching(r"^[A-Z2-7]+$"), SENSITIVE]
    raw_secret_access_key: Annotated[
        str, Meta(min_length=43, max_length=64), matching(r"^[a-zA-Z0-9\/+=]+$"), SENSITIVE
    ]

    @override
    def __repr__(self) -> str:
        return "XksProxyAuthenticationCredential(...)"


class CreateCustomKeyStoreRequest(Request):
    """The request of CreateCustomKeyStore."""

    custom_key_store_name: CustomKeyStoreName
    cloud_hsm_cluster_id: ClusterId | None = None
    trust_anchor_certificate: Certificate | None = None
    key_store_password: Password | None = None
    custom_key_store_type: CustomKeyStoreType = CustomKeyStoreType.AWS_CLOUDHSM
    xks_proxy_uri_endpoint: UriEndpoint | None = None
    xks_proxy_uri_path: UriPath | None = None
    xks_proxy_vpc_endpoint_service_name: VpcServiceName | None = None
    xks_proxy_vpc_endpoint_service_owner: AccountId | None = None
    xks_proxy_authentication_credential: XksProxyAuthenticationCredential | None = None
    xks_proxy_connectivity: XksProxyConnectivity | None = None


class CreateCustomKeyStoreResponse(Response):
    """The response of CreateCustomKeyStore."""

    custom_key_store_id: str


class UpdateCustomKeyStoreRequest(Request):
    """The request of UpdateCustomKeyStore; None leaves a property as it is."""

    custom_key_store_id: CustomKeyStoreId
    new_custom_key_store_name: CustomKeyStoreName | None = None
    key_store_password: Password | None = None
    cloud_hsm_cluster_id: ClusterId | None = None
    xks_proxy_uri_endpoint: UriEndpoint | None = None
    xks_proxy_uri_path: UriPath | None = None
    xks_proxy_vpc_endpoint_service_name: VpcServiceName | None = None
    xks_proxy_vpc_endpoint_service_owner: AccountId | None = None
    xks_proxy_authentication_credential: XksProxyAuthenticationCredential | None = None
    xks_proxy_connectivity: XksProxyConnectivity | None = None


def create_custom_key_store(context: Context, request: CreateCustomKeyStoreRequest) -> CreateCustomKeyStoreResponse:
    """Register a store, disconnected; the proxy of an external one must be healthy."""
    store_id = "cks-" + context.backends.entropy(_ID_BYTES).hex()[:_ID_DIGITS]
    _require_own_parameters(request, request.custom_key_store_type)
    external = request.custom_key_store_type is CustomKeyStoreType.EXTERNAL_KEY_STORE
    secret, proxy = _external_proxy(context, request) if external else (_cloud_hsm(request), None)
    store = CustomKeyStore(
        account=context.caller.account,
        region=context.region,
        store_id=store_id,
        name=request.custom_key_store_name,
        type=request.custom_key_store_type,
        created_at=context.now,
        wrapped_secret=context.backends.secrets.wrap(secret.encode(), custom_key_store_binding(store_id)),
        cluster_id=request.cloud_hsm_cluster_id,
        trust_anchor=request.trust_anchor_certificate,
        xks=proxy,
    )

    def add(transaction: Transaction) -> None:
        _require_room(context, transaction, store)
        transaction.put_custom_key_store(store)

    if external:
        with context.read() as reader:
            _require_room(context, reader, store)
        _require_healthy(context, store)
    context.backends.store.write(add, AccountScope(store.account))
    return CreateCustomKeyStoreResponse(custom_key_store_id=store_id)


def update_custom_key_store(context: Context, request: UpdateCustomKeyStoreRequest) -> Empty:
    """Change the given properties of a store; the proxy of an external one must be healthy as it is afterwards."""
    wrapped_secret = _wrapped_secret(context, request)

    def changed(reader: Reader, store: CustomKeyStore) -> CustomKeyStore:
        after = _updated(request, store, wrapped_secret)
        _require_unique(after, [each for each in all_stores(context, reader) if each.store_id != store.store_id])
        return after

    with context.read() as reader:
        before = find_custom_key_store(context, reader, request.custom_key_store_id)
        planned = changed(reader, before)
    if any(each is not None for each in _xks_parameters(request)):
        _require_healthy(context, planned)

    def updated(transaction: Transaction, store: CustomKeyStore) -> CustomKeyStore:
        if store != before:
            # Another change came first, and the proxy was asked about something else.
            raise TargetChanged
        return changed(transaction, store)

    return change_store(context, request.custom_key_store_id, updated)


def _require_room(context: Context, reader: Reader, store: CustomKeyStore) -> None:
    """Refuse a store if its account has as many as it may have, or another one in its place."""
    others = all_stores(context, reader)
    if len(others) >= MAX_CUSTOM_KEY_STORES:
        raise LimitExceededException(f"An account can have at most {MAX_CUSTOM_KEY_STORES} custom key stores.")
    _require_unique(store, others)


def _require_healthy(context: Context, store: CustomKeyStore) -> None:
    """Refuse a store whose proxy is not healthy; raises what AWS documents for each reason."""
    try:
        context.backends.key_managers.require_healthy(store, context.key_user())
    except XksError as error:
        raise store_error(error) from None


def _require_own_parameters(
    request: CreateCustomKeyStoreRequest | UpdateCustomKeyStoreRequest, store_type: CustomKeyStoreType
) -> None:
    """Refuse parameters that only stores of the other type have; raises ValidationException."""
    if store_type is CustomKeyStoreType.AWS_CLOUDHSM:
        if any(each is not None for each in _xks_parameters(request)):
            raise ValidationException("XksProxy parameters are only valid for external key stores.")
    elif any(each is not None for each in _cloud_hsm_parameters(request)):
        raise ValidationException("CloudHSM parameters are not valid for external key stores.")


def _xks_parameters(request: CreateCustomKeyStoreRequest | UpdateCustomKeyStoreRequest) -> tuple[object, ...]:
    return (
        request.xks_proxy_uri_endpoint,
        request.xks_proxy_uri_path,
        request.xks_proxy_vpc_endpoint_service_name,
        request.xks_proxy_vpc_endpoint_service_owner,
        request.xks_proxy_authentication_credential,
        request.xks_proxy_connectivity,
    )


def _cloud_hsm_parameters(request: CreateCustomKeyStoreRequest | UpdateCustomKeyStoreRequest) -> tuple[object, ...]:
    common = (request.cloud_hsm_cluster_id, request.key_store_password)
    return (*common, request.trust_anchor_certificate) if isinstance(request, CreateCustomKeyStoreRequest) else common


def _cloud_hsm(request: CreateCustomKeyStoreRequest) -> str:
    """Return the password of a store in AWS CloudHSM; raises ValidationException if a parameter is missing."""
    required = (request.cloud_hsm_cluster_id, request.trust_anchor_certificate)
    if None in required or request.key_store_password is None:
        raise ValidationException("CloudHsmClusterId, KeyStorePassword and TrustAnchorCertificate are required.")
    return request.key_store_password


def _external_proxy(context: Context, request: CreateCustomKeyStoreRequest) -> tuple[str, XksProxy]:
    """Return the proxy of an external store and its secret; raises ValidationException as above."""
    credential, connectivity = request.xks_proxy_authentication_credential, request.xks_proxy_connectivity
    endpoint, path = request.xks_proxy_uri_endpoint, request.xks_proxy_uri_path
    if credential is None or connectivity is None or endpoint is None or path is None:
        raise ValidationException(
            "XksProxyUriEndpoint, XksProxyUriPath, XksProxyAuthenticationCredential and XksProxyConnectivity "
            "are required."
        )
    proxy = XksProxy(
        connectivity=connectivity,
        access_key_id=credential.access_key_id,
        uri_endpoint=endpoint,
        uri_path=path,
        vpc_endpoint_service_name=request.xks_proxy_vpc_endpoint_service_name,
        vpc_endpoint_service_owner=request.xks_proxy_vpc_endpoint_service_owner,
    )
    return credential.raw_secret_access_key, _with_connectivity(proxy, context.caller.account)


def _with_connectivity(proxy: XksProxy, account: str) -> XksProxy:
    """Return a proxy with the owner of its VPC endpoint service, which is the account unless another is named.

    Raises ValidationException if the connectivity is a VPC endpoint service and none is named, or the other way round.
    """
    service, owner = proxy.vpc_endpoint_service_name, proxy.vpc_endpoint_service_owner
    if proxy.connectivity is XksProxyConnectivity.VPC_ENDPOINT_SERVICE:
        if service is None:
            raise ValidationException("VPC_ENDPOINT_SERVICE connectivity requires XksProxyVpcEndpointServiceName.")
        return replace(proxy, vpc_endpoint_service_owner=owner or account)
    if service is not None or owner is not None:
        raise ValidationException("A VPC endpoint service is only valid with VPC_ENDPOINT_SERVICE connectivity.")
    return proxy


def _wrapped_secret(context: Context, request: UpdateCustomKeyStoreRequest) -> bytes | None:
    """Return the secret or password that is given, wrapped."""
    credential = request.xks_proxy_authentication_credential
    secret = credential.raw_secret_access_key if credential is not None else request.key_store_password
    if secret is None:
        return None
    return context.backends.secrets.wrap(secret.encode(), custom_key_store_binding(request.custom_key_store_id))


def _updated(
    request: UpdateCustomKeyStoreRequest, store: CustomKeyStore, wrapped_secret: bytes | None
) -> CustomKeyStore:
    _require_own_parameters(request, store.type)
    fixed = (
        *(request.key_store_password, request.cloud_hsm_cluster_id, request.xks_proxy_uri_endpoint),
        *(request.xks_proxy_vpc_endpoint_service_name, request.xks_proxy_vpc_endpoint_service_owner),
        request.xks_proxy_connectivity,
    )
    require_changeable(store, while_connected=all(each is None for each in fixed))
    return replace(
        store,
        name=request.new_custom_key_store_name or store.name,
        wrapped_secret=store.wrapped_secret if wrapped_secret is None else wrapped_secret,
        cluster_id=request.cloud_hsm_cluster_id or store.cluster_id,
        xks=None if store.xks is None else _updated_proxy(request, store.xks, store.account),
    )


def _updated_proxy(request: UpdateCustomKeyStoreRequest, proxy: XksProxy, account: str) -> XksProxy:
    credential = request.xks_proxy_authentication_credential
    connectivity = request.xks_proxy_connectivity or proxy.connectivity
    in_vpc = connectivity is XksProxyConnectivity.VPC_ENDPOINT_SERVICE
    if connectivity is not proxy.connectivity and request.xks_proxy_uri_endpoint is None:
        raise ValidationException("A change of XksProxyConnectivity requires a new XksProxyUriEndpoint.")
    after = XksProxy(
        connectivity=connectivity,
        access_key_id=proxy.access_key_id if credential is None else credential.access_key_id,
        uri_endpoint=request.xks_proxy_uri_endpoint or proxy.uri_endpoint,
        uri_path=request.xks_proxy_uri_path or proxy.uri_path,
        vpc_endpoint_service_name=request.xks_proxy_vpc_endpoint_service_name
        or (proxy.vpc_endpoint_service_name if in_vpc else None),
        vpc_endpoint_service_owner=request.xks_proxy_vpc_endpoint_service_owner
        or (proxy.vpc_endpoint_service_owner if in_vpc else None),
    )
    return _with_connectivity(after, account)


def _require_unique(store: CustomKeyStore, others: Sequence[CustomKeyStore]) -> None:
    """Refuse a name, a cluster or a proxy that another store has."""
    if any(other.name == store.name for other in others):
        raise CustomKeyStoreNameInUseException(None)
    if store.cluster_id is not None and any(other.cluster_id == store.cluster_id for other in others):
        raise CloudHsmClusterInUseException(None)
    if store.xks is not None:
        _require_unique_proxy(store.xks, [other.xks for other in others if other.xks is not None])


def _require_unique_proxy(proxy: XksProxy, others: Sequence[XksProxy]) -> None:
    """Refuse another store's address or VPC endpoint service (KMS API Reference, CreateCustomKeyStore).

    Only proxies at public endpoints can share one, under different paths.
    """
    neighbours = [other for other in others if other.uri_endpoint == proxy.uri_endpoint]
    if any(other.uri_path == proxy.uri_path for other in neighbours):
        raise XksProxyUriInUseException(None)
    if any(
        XksProxyConnectivity.VPC_ENDPOINT_SERVICE in {proxy.connectivity, other.connectivity} for other in neighbours
    ):
        raise XksProxyUriEndpointInUseException(None)
    service = proxy.vpc_endpoint_service_name
    if service is not None and any(other.vpc_endpoint_service_name == service for other in others):
        raise XksProxyVpcEndpointServiceInUseException(None)
