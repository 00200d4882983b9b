"""Custom key stores in their states, listed and deleted; a store in a cluster cannot be connected yet."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from accounts import Account
from client_errors import error_code_of, error_of
from clients import response_members
from custom_stores import CLUSTER, GONE, PROXY, Stores
from xks_stub import Fault, XksStub


def test_an_account_has_at_most_ten_and_lists_them_page_by_page(stores: Stores) -> None:
    made = [stores.new(f"store {n}", **{**PROXY, "XksProxyUriPath": f"/{n}/kms/xks/v1"}) for n in range(10)]
    refused = error_code_of(stores.kms.create_custom_key_store, CustomKeyStoreName="eleventh", **CLUSTER)
    assert refused == "LimitExceededException"
    paginator = stores.kms.get_paginator("describe_custom_key_stores")
    pages = [page["CustomKeyStores"] for page in paginator.paginate(PaginationConfig={"PageSize": 4})]
    assert [len(page) for page in pages] == [4, 4, 2]
    assert {entry["CustomKeyStoreId"] for page in pages for entry in page} == set(made)
    first = stores.kms.describe_custom_key_stores(Limit=4)
    assert (first["Truncated"], bool(first["NextMarker"])) == (True, True)
    whole = stores.kms.describe_custom_key_stores(Limit=1000)
    assert (len(whole["CustomKeyStores"]), whole["Truncated"], "NextMarker" in whole) == (10, False, False)
    assert error_code_of(stores.kms.describe_custom_key_stores, Marker="nonsense") == "InvalidMarkerException"
    assert error_code_of(stores.kms.describe_custom_key_stores, Limit=0) == "ValidationException"


def test_one_store_is_found_by_id_or_by_name(kms: KMSClient, stores: Stores) -> None:
    store_id = stores.new("mine", **CLUSTER)
    stores.new("other", **PROXY)
    describe = stores.kms.describe_custom_key_stores
    assert describe(CustomKeyStoreName="mine")["CustomKeyStores"][0]["CustomKeyStoreId"] == store_id
    assert error_code_of(describe, CustomKeyStoreId=store_id, CustomKeyStoreName="mine") == "ValidationException"
    for unknown in ({"CustomKeyStoreId": GONE}, {"CustomKeyStoreName": "Mine"}):
        assert error_code_of(describe, **unknown) == "CustomKeyStoreNotFoundException"
    # Another account has other stores.
    assert error_code_of(kms.describe_custom_key_stores, CustomKeyStoreId=store_id) == "CustomKeyStoreNotFoundException"
    assert error_code_of(kms.delete_custom_key_store, CustomKeyStoreId=store_id) == "CustomKeyStoreNotFoundException"


@pytest.fixture
def unhealthy(xks_stub: XksStub) -> Iterator[Callable[[], None]]:
    """Return a function that makes the proxy unhealthy until the test has ended."""
    yield lambda: xks_stub.faults.update(health=Fault(status=500, error="InternalException"))
    xks_stub.faults.clear()


@pytest.mark.parametrize(("asked", "error"), [(CLUSTER, "CLUSTER_NOT_FOUND"), (PROXY, "XKS_PROXY_INVALID_RESPONSE")])
def test_a_connection_that_failed_must_be_ended_before_anything_else(
    stores: Stores, unhealthy: Callable[[], None], asked: dict[str, Any], error: str
) -> None:
    """KMS API Reference, CustomKeyStoreInvalidStateException."""
    kms, store_id = stores.kms, stores.new("store", **asked)
    assert stores.state(store_id) == ("DISCONNECTED", None)
    invalid = "CustomKeyStoreInvalidStateException"
    assert error_code_of(kms.disconnect_custom_key_store, CustomKeyStoreId=store_id) == invalid
    unhealthy()
    assert response_members(kms.connect_custom_key_store(CustomKeyStoreId=store_id)) == {}
    assert stores.state(store_id) == ("FAILED", error)
    for call in (kms.connect_custom_key_store, kms.delete_custom_key_store):
        assert error_code_of(call, CustomKeyStoreId=store_id) == invalid
    assert stores.refusal(store_id, NewCustomKeyStoreName="renamed") == invalid
    assert response_members(kms.disconnect_custom_key_store(CustomKeyStoreId=store_id)) == {}
    assert stores.state(store_id) == ("DISCONNECTED", None)
    stores.update(store_id, NewCustomKeyStoreName="renamed")
    assert stores.entry(store_id)["CustomKeyStoreName"] == "renamed"
    assert response_members(kms.delete_custom_key_store(CustomKeyStoreId=store_id)) == {}
    calls: list[Any] = [kms.connect_custom_key_store, kms.disconnect_custom_key_store, kms.delete_custom_key_store]
    for call in (*calls, kms.update_custom_key_store, kms.describe_custom_key_stores):
        assert error_code_of(call, CustomKeyStoreId=store_id) == "CustomKeyStoreNotFoundException"


def test_keys_and_random_bytes_need_a_connected_store(stores: Stores, unhealthy: Callable[[], None]) -> None:
    cluster, external = stores.new("cluster", **CLUSTER), stores.new("external", **PROXY)
    in_cluster: dict[str, Any] = {"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": cluster}
    outside: dict[str, Any] = {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": external, "XksKeyId": "key-1"}
    invalid, kms = "CustomKeyStoreInvalidStateException", stores.kms
    for connect in (False, True):
        if connect:
            unhealthy()
            for store_id in (cluster, external):
                kms.connect_custom_key_store(CustomKeyStoreId=store_id)
        assert error_code_of(kms.create_key, **in_cluster) == invalid
        assert error_code_of(kms.create_key, **outside) == invalid
        assert error_code_of(kms.generate_random, NumberOfBytes=8, CustomKeyStoreId=cluster) == invalid
    unsupported = error_code_of(kms.generate_random, NumberOfBytes=8, CustomKeyStoreId=external)
    assert unsupported == "UnsupportedOperationException"
    for unknown in ({**in_cluster, "CustomKeyStoreId": GONE}, {**outside, "CustomKeyStoreId": GONE}):
        assert error_code_of(kms.create_key, **unknown) == "CustomKeyStoreNotFoundException"
    assert (
        error_code_of(kms.generate_random, NumberOfBytes=8, CustomKeyStoreId=GONE) == "CustomKeyStoreNotFoundException"
    )
    misplaced: dict[str, Any]
    for misplaced in (
        *({"CustomKeyStoreId": cluster}, {"XksKeyId": "key-1"}, {"Origin": "AWS_CLOUDHSM"}),
        *({**outside, "CustomKeyStoreId": cluster}, {**in_cluster, "CustomKeyStoreId": external}),
        *({**in_cluster, "XksKeyId": "key-1"}, {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": external}),
    ):
        assert error_code_of(kms.create_key, **misplaced) == "ValidationException"


def test_only_those_whose_identity_policy_allows_it(owner: Account, stores: Stores) -> None:
    store_id = stores.new("cluster", **CLUSTER)
    user = owner.identities.user()
    for operation in ("connect", "disconnect", "delete", "update"):
        refused = error_of(getattr(user.kms, f"{operation}_custom_key_store"), CustomKeyStoreId=store_id)
        assert refused["Code"] == "AccessDeniedException"
        assert f"kms:{operation.capitalize()}CustomKeyStore on resource: *" in refused["Message"]
    assert error_code_of(user.kms.describe_custom_key_stores) == "AccessDeniedException"
    assert error_code_of(user.kms.create_custom_key_store, CustomKeyStoreName="x", **PROXY) == "AccessDeniedException"
