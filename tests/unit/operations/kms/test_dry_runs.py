"""Dry runs under keys in custom key stores: they tell whether the store is connected, and use no key in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, Protocol

import pytest
from typing_extensions import override

from cluster_deployment import deployment_with_clusters
from cluster_deployment import new_key as new_cluster_key
from cluster_deployment import new_store as new_cluster_store
from custom_stores import PROXY
from local_deployment import LocalDeployment, Refused
from request_mutations import MODEL, has_dry_run
from strongroom.clock import ManualClock
from strongroom.crypto.pkcs11.token import ModuleToken
from xks_stub import XksStub, named_certificate

DATA = "ZGF0YQ=="
ROOT = "arn:aws:iam::000000000000:root"
DRY_RUN = "DryRunOperationException: The request would have succeeded, but the DryRun option is set."
INVALID_STATE = "KMSInvalidStateException"
OPERATIONS = {name for name in MODEL.operation_names if has_dry_run(name)}
USE_THE_KEY = {"Encrypt", "Decrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext"}
"""All others are refused for keys in custom key stores, or do not need their material."""
GRANTS = {"CreateGrant", "RetireGrant", "RevokeGrant"}


class Stores(Protocol):
    """One kind of custom key store, in a deployment. ``key_id`` is a key in a store, which is connected."""

    local: LocalDeployment
    store_id: str
    key_id: str

    def leave_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have every use of the cluster or proxy fail from now on."""
        ...


class Clusters(Stores):
    def __init__(self, folder: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.local = deployment_with_clusters(folder, clock, monkeypatch)
        self.store_id = new_cluster_store(self.local)
        self.key_id = new_cluster_key(self.local, self.store_id)

    @override
    def leave_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ModuleToken, "run", _fail)


class Proxies(Stores):
    def __init__(self, folder: Path, clock: ManualClock, stub: XksStub) -> None:
        stub.new_key("one")
        self.local = LocalDeployment(folder / "data", clock, xks_proxies=stub.hosts)
        self.store_id = self.local.call("CreateCustomKeyStore", CustomKeyStoreName="s", **PROXY)["CustomKeyStoreId"]
        self.local.call("ConnectCustomKeyStore", CustomKeyStoreId=self.store_id)
        asked = {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": self.store_id, "XksKeyId": "one"}
        self.key_id = self.local.call("CreateKey", **asked)["KeyMetadata"]["KeyId"]

    @override
    def leave_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("strongroom.crypto.xks.proxies.XksProxies._exchange", _fail)


def _fail(*_: object, **_more: object) -> NoReturn:
    raise AssertionError("a dry run has used a key in a custom key store")


@pytest.fixture(params=["cluster", "proxy"])
def stores(
    request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stores]:
    if request.param == "cluster":
        clusters = Clusters(tmp_path, clock, monkeypatch)
        yield clusters
        clusters.local.deployment.close()
        return
    with XksStub(named_certificate(tmp_path / "proxy", "proxy")) as stub:
        proxies = Proxies(tmp_path, clock, stub)
        yield proxies
        proxies.local.deployment.close()


def all_requests(stores: Stores) -> dict[str, list[dict[str, Any]]]:
    """Return valid requests of all operations, with a key in the custom key store in every role that a key has."""
    call, key_id = stores.local.call, {"KeyId": stores.key_id}

    def blob(key_id: str) -> str:
        return str(call("Encrypt", KeyId=key_id, Plaintext=DATA)["CiphertextBlob"])

    software = call("CreateKey")["KeyMetadata"]["KeyId"]
    grants = [call("CreateGrant", **key_id, GranteePrincipal=ROOT, Operations=["Encrypt"])["GrantId"] for _ in range(2)]
    signed = {**key_id, "Message": DATA, "SigningAlgorithm": "RSASSA_PSS_SHA_256"}
    tagged = {**key_id, "Message": DATA, "MacAlgorithm": "HMAC_SHA_256"}
    encapsulated = {**key_id, "EncapsulationAlgorithm": "ML_KEM_768"}
    own, other = blob(stores.key_id), blob(software)
    return {
        "CreateGrant": [{**key_id, "GranteePrincipal": ROOT, "Operations": ["Decrypt"]}],
        "RetireGrant": [{"KeyId": call("DescribeKey", **key_id)["KeyMetadata"]["Arn"], "GrantId": grants[0]}],
        "RevokeGrant": [{**key_id, "GrantId": grants[1]}],
        "Encrypt": [{**key_id, "Plaintext": DATA}],
        "Decrypt": [{"CiphertextBlob": own}, {**key_id, "CiphertextBlob": own}, {**key_id, "CiphertextBlob": other}],
        "ReEncrypt": [
            {"CiphertextBlob": own, "DestinationKeyId": software},
            {"CiphertextBlob": other, "DestinationKeyId": stores.key_id},
            {"CiphertextBlob": own, "DestinationKeyId": stores.key_id},
        ],
        "GenerateDataKey": [{**key_id, "KeySpec": "AES_256"}],
        "GenerateDataKeyWithoutPlaintext": [{**key_id, "NumberOfBytes": 64}],
        "GenerateDataKeyPair": [{**key_id, "KeyPairSpec": "ECC_NIST_P256"}],
        "GenerateDataKeyPairWithoutPlaintext": [{**key_id, "KeyPairSpec": "ECC_NIST_P256"}],
        "Sign": [signed],
        "Verify": [{**signed, "Signature": DATA}],
        "GenerateMac": [tagged],
        "VerifyMac": [{**tagged, "Mac": DATA}],
        "DeriveSharedSecret": [{**key_id, "KeyAgreementAlgorithm": "ECDH", "PublicKey": DATA}],
        "Encapsulate": [encapsulated],
        "Decapsulate": [{**encapsulated, "SharedSecretCiphertextBlob": DATA}],
    }


def outcome(local: LocalDeployment, operation: str, request: dict[str, Any]) -> str:
    """Return the error of a call, or nothing if there is none."""
    try:
        local.call(operation, **request)
    except Refused as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize("state", ["connected", "disconnected"])
def test_a_dry_run_has_the_outcome_of_the_call(stores: Stores, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    local, requests = stores.local, all_requests(stores)
    assert requests.keys() == OPERATIONS
    if state == "disconnected":
        local.call("DisconnectCustomKeyStore", CustomKeyStoreId=stores.store_id)
    with monkeypatch.context() as alone:
        stores.leave_alone(alone)
        dry = {name: [outcome(local, name, {**each, "DryRun": True}) for each in requests[name]] for name in requests}
    real = {name: [outcome(local, name, each) or DRY_RUN for each in requests[name]] for name in requests}
    assert dry == real
    assert {name for name, outcomes in dry.items() if DRY_RUN in outcomes} == (
        GRANTS | USE_THE_KEY if state == "connected" else GRANTS
    )
    assert all((INVALID_STATE in dry[name][0]) is (state == "disconnected") for name in USE_THE_KEY)


def test_a_dry_run_that_ignores_the_ciphertext_asks_for_the_connection_too(stores: Stores) -> None:
    call = stores.local.call
    software = call("CreateKey")["KeyMetadata"]["KeyId"]
    ignoring = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
    requests: list[tuple[str, dict[str, Any]]] = [
        ("Decrypt", {"KeyId": stores.key_id}),
        ("ReEncrypt", {"SourceKeyId": stores.key_id, "DestinationKeyId": software}),
        ("ReEncrypt", {"SourceKeyId": software, "DestinationKeyId": stores.key_id}),
    ]
    for operation, request in requests:
        assert outcome(stores.local, operation, {**request, **ignoring}) == DRY_RUN
    call("DisconnectCustomKeyStore", CustomKeyStoreId=stores.store_id)
    for operation, request in requests:
        assert INVALID_STATE in outcome(stores.local, operation, {**request, **ignoring})
