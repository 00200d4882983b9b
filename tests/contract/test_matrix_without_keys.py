"""What has no key yet: every kind of key that could be asked for, custom key stores in every state, and the rest."""

from typing import Any

import pytest
from msgspec.structs import replace

from fitting import ROOT, Asked
from kinds import USAGES
from local_deployment import LocalDeployment
from misfits import MODEL, WITHOUT_KEYS, declared, misfits
from rehearsal import outcome, rehearsing
from strongroom.clock import ManualClock
from strongroom.keys.custom_key_stores import ConnectionState
from strongroom.store.protocol import Transaction

PASSWORD = "correct horse"
CLUSTER: dict[str, Any] = {
    "CustomKeyStoreName": "hsm",
    "CloudHsmClusterId": "cluster-abcdefghijk",
    "TrustAnchorCertificate": "certificate",
    "KeyStorePassword": PASSWORD,
}
CREDENTIAL = {"AccessKeyId": "A" * 20, "RawSecretAccessKey": "a" * 43}
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
def local(tmp_path_factory: pytest.TempPathFactory) -> LocalDeployment:
    return LocalDeployment(tmp_path_factory.mktemp("keyless") / "data", ManualClock(1_790_000_000.0))


@pytest.fixture(scope="module")
def stores(local: LocalDeployment) -> dict[str, str]:
    """Return the ids of a custom key store of each type."""
    return {
        "AWS_CLOUDHSM": local.call("CreateCustomKeyStore", **CLUSTER)["CustomKeyStoreId"],
        "EXTERNAL_KEY_STORE": local.call("CreateCustomKeyStore", **PROXY)["CustomKeyStoreId"],
    }


def put(local: LocalDeployment, store_id: str, state: str) -> None:
    """Put a store into a state; nobody can reach all of them yet."""

    def change(transaction: Transaction) -> None:
        store = transaction.custom_key_store("000000000000", "us-east-1", store_id)
        assert store is not None
        transaction.put_custom_key_store(replace(store, state=ConnectionState(state)))

    local.deployment.backends.store.write(change)


def rehearse(local: LocalDeployment, operation: str, **request: Any) -> str:
    with rehearsing(local):
        return outcome(local, Asked(operation, request))


@pytest.mark.parametrize("spec", [*USAGES, "SM2"])
def test_which_keys_can_be_asked_for(local: LocalDeployment, spec: str) -> None:
    """Keys with generated material are made elsewhere, by the hundred; here they are only refused."""
    unspecified = "ValidationException: You must specify a KeyUsage value for all KMS keys except for symmetric "
    if spec != "SYMMETRIC_DEFAULT":
        assert rehearse(local, "CreateKey", KeySpec=spec) == f"{unspecified}encryption keys."
    usages = USAGES.get(spec, ("ENCRYPT_DECRYPT", "SIGN_VERIFY", "KEY_AGREEMENT"))
    for usage in MODEL.shape_for("KeyUsageType").enum:
        asked = {"KeySpec": spec, "KeyUsage": usage}
        came = rehearse(local, "CreateKey", **asked, Origin="EXTERNAL")
        if usage not in usages:
            assert came == f"ValidationException: KeyUsage {usage} is not compatible with KeySpec {spec}"
            assert rehearse(local, "CreateKey", **asked) == came
        elif spec == "SM2":
            # For China Regions; the wording is ours.
            assert came == "UnsupportedOperationException: KeySpec SM2 is not supported in this Region."
            assert rehearse(local, "CreateKey", **asked) == came
        elif spec.startswith("ML_"):
            # The wording is ours.
            assert came == f"UnsupportedOperationException: KeySpec {spec} does not support imported key material."
        else:
            assert came == "ok"


@pytest.mark.parametrize("kind", ["AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"])
@pytest.mark.parametrize("state", MODEL.shape_for("ConnectionStateType").enum)
def test_what_a_custom_key_store_allows_in_a_state(
    local: LocalDeployment, stores: dict[str, str], kind: str, state: str
) -> None:
    on: dict[str, Any] = {"CustomKeyStoreId": stores[kind]}
    put(local, stores[kind], state)
    settings = {"KeyStorePassword": PASSWORD} if kind == "AWS_CLOUDHSM" else {"XksProxyConnectivity": "PUBLIC_ENDPOINT"}
    came = {
        "connect": rehearse(local, "ConnectCustomKeyStore", **on),
        "disconnect": rehearse(local, "DisconnectCustomKeyStore", **on),
        "rename": rehearse(local, "UpdateCustomKeyStore", **on, NewCustomKeyStoreName="another"),
        "update": rehearse(local, "UpdateCustomKeyStore", **on, **settings),
        "delete": rehearse(local, "DeleteCustomKeyStore", **on),
    }
    assert {what for what, outcome in came.items() if outcome == "ok"} == ALLOWED[state]
    refusals = {outcome.partition(":")[0] for outcome in came.values() if outcome != "ok"}
    assert refusals <= {"CustomKeyStoreInvalidStateException"}
    assert rehearse(local, "DescribeCustomKeyStores", **on) == "ok"
    if state != "CONNECTED":
        which = {} if kind == "AWS_CLOUDHSM" else {"XksKeyId": "external"}
        refused = rehearse(local, "CreateKey", **on, Origin=kind, **which)
        assert refused.startswith("CustomKeyStoreInvalidStateException")
    if kind == "EXTERNAL_KEY_STORE":
        random = rehearse(local, "GenerateRandom", **on, NumberOfBytes=8)
        assert random.startswith("UnsupportedOperationException")


def test_a_custom_key_store_must_be_connected_to_give_random_bytes(
    local: LocalDeployment, stores: dict[str, str]
) -> None:
    for state in set(ALLOWED) - {"CONNECTED"}:
        put(local, stores["AWS_CLOUDHSM"], state)
        came = rehearse(local, "GenerateRandom", CustomKeyStoreId=stores["AWS_CLOUDHSM"], NumberOfBytes=8)
        assert came.startswith("CustomKeyStoreInvalidStateException")


FITTING: dict[str, dict[str, Any]] = {
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
def test_what_has_no_key_succeeds_or_is_refused_as_declared(
    local: LocalDeployment, stores: dict[str, str], operation: str
) -> None:
    request = FITTING[operation]
    if "CustomKeyStoreId" in MODEL.operation_model(operation).input_shape.required_members:
        put(local, stores["AWS_CLOUDHSM"], "CONNECTED" if operation.startswith("Disconnect") else "DISCONNECTED")
        request = {**request, "CustomKeyStoreId": stores["AWS_CLOUDHSM"]}
    asked = Asked(operation, request)
    assert rehearse(local, operation, **request) == "ok"
    with rehearsing(local):
        came = {str(each.request): outcome(local, each) for each in misfits(asked)}
    allowed = {"ok", *declared(operation)}
    assert {request: each for request, each in came.items() if each.partition(":")[0] not in allowed} == {}
