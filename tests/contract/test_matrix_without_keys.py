"""Operations without a key: CreateKey with every spec and usage, custom key stores in every state, and the others."""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from key_kinds import USAGES
from local_deployment import LocalDeployment
from request_mutations import MODEL, WITHOUT_KEYS, declared_errors, mutations
from rolled_back_calls import outcome, rolling_back
from strongroom.clock import ManualClock
from strongroom.keys.custom_key_stores import ConnectionState
from strongroom.store.protocol import Transaction
from valid_requests import ROOT, RequestCase
from xks_stub import ACCESS_KEY_ID, SECRET, XksStub

PASSWORD = "correct horse"
CLUSTER: dict[str, Any] = {
    "CustomKeyStoreName": "hsm",
    "CloudHsmClusterId": "cluster-abcdefghijk",
    "TrustAnchorCertificate": "certificate",
    "KeyStorePassword": PASSWORD,
}
CREDENTIAL = {"AccessKeyId": ACCESS_KEY_ID, "RawSecretAccessKey": SECRET}
PROXY: dict[str, Any] = {
    "CustomKeyStoreName": "xks",
    "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
    "XksProxyUriEndpoint": "https://proxy.example.com",
    "XksProxyUriPath": "/kms/xks/v1",
    "XksProxyAuthenticationCredential": CREDENTIAL,
    "XksProxyConnectivity": "PUBLIC_ENDPOINT",
}
# Source: KMS API Reference, CustomKeyStoreInvalidStateException and UpdateCustomKeyStore.
ALLOWED: dict[str, set[str]] = {
    "DISCONNECTED": {"connect", "rename", "update", "delete"},
    "CONNECTING": {"connect", "disconnect"},
    "CONNECTED": {"connect", "disconnect", "rename"},
    "FAILED": {"disconnect"},
    "DISCONNECTING": set(),
}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, xks_stub: XksStub) -> Iterator[LocalDeployment]:
    folder = tmp_path_factory.mktemp("keyless") / "data"
    local = LocalDeployment(folder, ManualClock(1_790_000_000.0), xks_proxies=xks_stub.hosts)
    yield local
    local.deployment.close()


@pytest.fixture(scope="module")
def stores(local: LocalDeployment) -> dict[str, str]:
    """Return the ids of a custom key store of each type."""
    return {
        "AWS_CLOUDHSM": local.call("CreateCustomKeyStore", **CLUSTER)["CustomKeyStoreId"],
        "EXTERNAL_KEY_STORE": local.call("CreateCustomKeyStore", **PROXY)["CustomKeyStoreId"],
    }


def put(local: LocalDeployment, store_id: str, state: str) -> None:
    """Put a custom key store into a connection state. Calls do not lead to all of them yet."""

    def change(transaction: Transaction) -> None:
        store = transaction.custom_key_store("000000000000", "us-east-1", store_id)
        assert store is not None
        transaction.put_custom_key_store(replace(store, state=ConnectionState(state)))

    local.deployment.backends.store.write(change)


def rolled_back_outcome(local: LocalDeployment, operation: str, **request: Any) -> str:
    with rolling_back(local):
        return outcome(local, RequestCase(operation, request))


@pytest.mark.parametrize("spec", [*USAGES, "SM2"])
def test_which_specs_and_usages_a_key_can_be_created_with(local: LocalDeployment, spec: str) -> None:
    """Only refusals are tested without imported material: test_matrix.py creates such keys."""
    unspecified = "ValidationException: You must specify a KeyUsage value for all KMS keys except for symmetric "
    if spec != "SYMMETRIC_DEFAULT":
        assert rolled_back_outcome(local, "CreateKey", KeySpec=spec) == f"{unspecified}encryption keys."
    usages = USAGES.get(spec, ("ENCRYPT_DECRYPT", "SIGN_VERIFY", "KEY_AGREEMENT"))
    for usage in MODEL.shape_for("KeyUsageType").enum:
        asked = {"KeySpec": spec, "KeyUsage": usage}
        result = rolled_back_outcome(local, "CreateKey", **asked, Origin="EXTERNAL")
        if usage not in usages:
            assert result == f"ValidationException: KeyUsage {usage} is not compatible with KeySpec {spec}"
            assert rolled_back_outcome(local, "CreateKey", **asked) == result
        elif spec == "SM2":
            # For China Regions; the wording is ours.
            assert result == "UnsupportedOperationException: KeySpec SM2 is not supported in this Region."
            assert rolled_back_outcome(local, "CreateKey", **asked) == result
        elif spec.startswith("ML_"):
            # The wording is ours.
            assert result == f"UnsupportedOperationException: KeySpec {spec} does not support imported key material."
        else:
            assert result == "ok"


@pytest.mark.parametrize("kind", ["AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"])
@pytest.mark.parametrize("state", MODEL.shape_for("ConnectionStateType").enum)
def test_the_operations_that_a_custom_key_store_allows_in_each_state(
    local: LocalDeployment, stores: dict[str, str], kind: str, state: str
) -> None:
    on: dict[str, Any] = {"CustomKeyStoreId": stores[kind]}
    put(local, stores[kind], state)
    settings = {"KeyStorePassword": PASSWORD} if kind == "AWS_CLOUDHSM" else {"XksProxyConnectivity": "PUBLIC_ENDPOINT"}
    result = {
        "connect": rolled_back_outcome(local, "ConnectCustomKeyStore", **on),
        "disconnect": rolled_back_outcome(local, "DisconnectCustomKeyStore", **on),
        "rename": rolled_back_outcome(local, "UpdateCustomKeyStore", **on, NewCustomKeyStoreName="another"),
        "update": rolled_back_outcome(local, "UpdateCustomKeyStore", **on, **settings),
        "delete": rolled_back_outcome(local, "DeleteCustomKeyStore", **on),
    }
    assert {what for what, outcome in result.items() if outcome == "ok"} == ALLOWED[state]
    refusals = {outcome.partition(":")[0] for outcome in result.values() if outcome != "ok"}
    assert refusals <= {"CustomKeyStoreInvalidStateException"}
    assert rolled_back_outcome(local, "DescribeCustomKeyStores", **on) == "ok"
    if state != "CONNECTED":
        which = {} if kind == "AWS_CLOUDHSM" else {"XksKeyId": "external"}
        refused = rolled_back_outcome(local, "CreateKey", **on, Origin=kind, **which)
        assert refused.startswith("CustomKeyStoreInvalidStateException")
    if kind == "EXTERNAL_KEY_STORE":
        random = rolled_back_outcome(local, "GenerateRandom", **on, NumberOfBytes=8)
        assert random.startswith("UnsupportedOperationException")


def test_a_custom_key_store_must_be_connected_to_generate_random_bytes(
    local: LocalDeployment, stores: dict[str, str]
) -> None:
    for state in set(ALLOWED) - {"CONNECTED"}:
        put(local, stores["AWS_CLOUDHSM"], state)
        result = rolled_back_outcome(local, "GenerateRandom", CustomKeyStoreId=stores["AWS_CLOUDHSM"], NumberOfBytes=8)
        assert result.startswith("CustomKeyStoreInvalidStateException")


VALID_REQUESTS: dict[str, dict[str, Any]] = {
    "GenerateRandom": {"NumberOfBytes": 8},
    "CreateKey": {"Description": "new"},
    "ListKeys": {},
    "ListRetirableGrants": {"RetiringPrincipal": ROOT},
    "CreateCustomKeyStore": {**CLUSTER, "CustomKeyStoreName": "new", "CloudHsmClusterId": "cluster-lmnopqrstuv"},
    "DescribeCustomKeyStores": {},
    "UpdateCustomKeyStore": {"NewCustomKeyStoreName": "another"},
    "ConnectCustomKeyStore": {},
    "DisconnectCustomKeyStore": {},
    "DeleteCustomKeyStore": {},
}


@pytest.mark.parametrize("operation", sorted(WITHOUT_KEYS))
def test_operations_without_a_key_succeed_or_fail_with_a_declared_error(
    local: LocalDeployment, stores: dict[str, str], operation: str
) -> None:
    request = VALID_REQUESTS[operation]
    if "CustomKeyStoreId" in MODEL.operation_model(operation).input_shape.required_members:
        put(local, stores["AWS_CLOUDHSM"], "CONNECTED" if operation.startswith("Disconnect") else "DISCONNECTED")
        request = {**request, "CustomKeyStoreId": stores["AWS_CLOUDHSM"]}
    asked = RequestCase(operation, request)
    assert rolled_back_outcome(local, operation, **request) == "ok"
    with rolling_back(local):
        result = {str(each.request): outcome(local, each) for each in mutations(asked)}
    allowed = {"ok", *declared_errors(operation)}
    assert {request: each for request, each in result.items() if each.partition(":")[0] not in allowed} == {}
