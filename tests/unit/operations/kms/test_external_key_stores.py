"""External key stores over a proxy: races with other changes, deletion of keys, and commands that load keys."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from custom_stores import PROXY
from local_deployment import LocalDeployment, Refused, entropy
from strongroom.assembly.domain_keys import Protection, open_domain_keys
from strongroom.assembly.key_back_ends import loading_key_backends
from strongroom.assembly.open_folder import open_existing
from strongroom.assembly.record_check import check_records
from strongroom.assembly.tokens import ConfiguredToken
from strongroom.assembly.unsealing import Unsealing
from strongroom.clock import DAY, ManualClock
from strongroom.crypto.token_versions import domain_key_version
from strongroom.keys.arns import KeyLocator
from strongroom.keys.external_keys import external_material_id, external_token, parse_external_token
from strongroom.keys.kms_key import KmsKey
from strongroom.store.protocol import Transaction
from xks_stub import Fault, XksStub, named_certificate

DATA = "ZGF0YQ=="
ACCOUNT, REGION = "000000000000", "us-east-1"


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[XksStub]:
    with XksStub(named_certificate(tmp_path / "proxy", "proxy")) as stub:
        yield stub


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock, stub: XksStub) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock, xks_proxies=stub.hosts)
    yield local
    local.deployment.close()


def new_store(local: LocalDeployment, *, connected: bool = True) -> str:
    store_id: str = local.call("CreateCustomKeyStore", CustomKeyStoreName="store", **PROXY)["CustomKeyStoreId"]
    if connected:
        local.call("ConnectCustomKeyStore", CustomKeyStoreId=store_id)
    return store_id


def new_key(local: LocalDeployment, store_id: str, external_id: str) -> str:
    asked = {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store_id, "XksKeyId": external_id}
    key_id: str = local.call("CreateKey", **asked)["KeyMetadata"]["KeyId"]
    return key_id


def in_the_midst(stub: XksStub, kind: str, act: Callable[[], object]) -> None:
    """Do something once while the proxy is asked."""

    def edit(reply: dict[str, Any]) -> dict[str, Any]:
        stub.faults.clear()
        act()
        return reply

    stub.faults[kind] = Fault(edit=edit)


def test_a_store_that_changes_while_it_is_connected_is_asked_about_again(local: LocalDeployment, stub: XksStub) -> None:
    store_id = new_store(local, connected=False)
    before = len(stub.requests)
    changed = {"CustomKeyStoreId": store_id, "XksProxyUriPath": "/unknown/kms/xks/v1"}
    in_the_midst(stub, "health", lambda: put(local, store_id, changed["XksProxyUriPath"]))
    local.call("ConnectCustomKeyStore", CustomKeyStoreId=store_id)
    (entry,) = local.call("DescribeCustomKeyStores")["CustomKeyStores"]
    # The new path was asked too, and is none.
    assert entry["ConnectionErrorCode"] == "XKS_PROXY_INVALID_CONFIGURATION"
    assert len(stub.requests) == before + 1


def put(local: LocalDeployment, store_id: str, path: str) -> None:
    def act(transaction: Transaction) -> None:
        store = transaction.custom_key_store(ACCOUNT, REGION, store_id)
        assert store is not None
        assert store.xks is not None
        transaction.put_custom_key_store(replace(store, xks=replace(store.xks, uri_path=path)))

    local.deployment.backends.store.write(act)


def test_a_store_that_changes_while_it_is_updated_is_asked_about_again(local: LocalDeployment, stub: XksStub) -> None:
    store_id = new_store(local, connected=False)
    before = len(stub.requests)
    in_the_midst(stub, "health", lambda: put(local, store_id, "/two/kms/xks/v1"))
    local.call("UpdateCustomKeyStore", CustomKeyStoreId=store_id, NewCustomKeyStoreName="n", **credential())
    paths = [path for path, _ in stub.requests[before:]]
    assert paths == ["/one/kms/xks/v1/health", "/two/kms/xks/v1/health"]


def credential() -> dict[str, Any]:
    return {"XksProxyAuthenticationCredential": PROXY["XksProxyAuthenticationCredential"]}


def test_a_name_is_changed_without_the_proxy(local: LocalDeployment, stub: XksStub) -> None:
    store_id = new_store(local)
    before = len(stub.requests)
    local.call("UpdateCustomKeyStore", CustomKeyStoreId=store_id, NewCustomKeyStoreName="renamed")
    local.call("ConnectCustomKeyStore", CustomKeyStoreId=store_id)
    assert len(stub.requests) == before


def test_a_store_that_is_disconnected_while_a_key_is_made_gets_none(local: LocalDeployment, stub: XksStub) -> None:
    store_id = new_store(local)
    in_the_midst(stub, "metadata", lambda: local.call("DisconnectCustomKeyStore", CustomKeyStoreId=store_id))
    with pytest.raises(Refused, match="CustomKeyStoreInvalidStateException"):
        new_key(local, store_id, stub.new_key("one"))
    assert local.call("ListKeys")["Keys"] == []


def test_an_external_key_is_free_again_when_its_kms_key_is_deleted(local: LocalDeployment, stub: XksStub) -> None:
    store_id = new_store(local)
    first = new_key(local, store_id, stub.new_key("one"))
    blob = local.call("Encrypt", KeyId=first, Plaintext=DATA)["CiphertextBlob"]
    local.call("ScheduleKeyDeletion", KeyId=first, PendingWindowInDays=7)
    with pytest.raises(Refused, match="XksKeyAlreadyInUseException"):
        new_key(local, store_id, "one")
    local.clock.advance(7 * DAY)
    local.deployment.keeper.run()
    assert local.deployment.keeper.counters.failures == 0
    second = new_key(local, store_id, "one")
    assert local.call("Decrypt", CiphertextBlob=local.call("Encrypt", KeyId=second, Plaintext=DATA)["CiphertextBlob"])
    # The backing key of the first one is gone, so its ciphertexts are too.
    for asked in ({}, {"KeyId": second}):
        with pytest.raises(Refused, match="KMSInvalidStateException"):
            local.call("Decrypt", CiphertextBlob=blob, **asked)


def test_a_restart_changes_nothing(local: LocalDeployment, stub: XksStub) -> None:
    key_id = new_key(local, new_store(local), stub.new_key("one"))
    blob = local.call("Encrypt", KeyId=key_id, Plaintext=DATA)["CiphertextBlob"]
    local.reopen()
    assert local.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == DATA


def test_commands_load_external_keys_without_a_proxy(local: LocalDeployment, stub: XksStub) -> None:
    store_id = new_store(local)
    key_id = new_key(local, store_id, stub.new_key("one"))
    before = len(stub.requests)
    deployment = local.deployment
    store = deployment.backends.store
    unsealing = Unsealing(local.settings, entropy)
    protection = Protection(ConfiguredToken(unsealing))
    keys = open_domain_keys(deployment.folder, store, (), unsealing, entropy, protection)
    back_ends = loading_key_backends(keys, entropy, local.clock, protection.token)
    assert list(check_records(store, back_ends)) == []

    def tamper(transaction: Transaction) -> None:
        key = transaction.key(KeyLocator(ACCOUNT, REGION, key_id))
        assert key is not None
        transaction.save_key(key, with_external_id(key, "two"))

    store.write(tamper)
    (finding,) = check_records(store, back_ends)
    assert external_material_id(store_id, "one") in finding.record
    assert len(stub.requests) == before


def with_external_id(key: KmsKey, external_id: str) -> KmsKey:
    (material,) = key.materials
    assert material.token is not None
    named = parse_external_token(material.token)
    return replace(key, materials=(replace(material, token=external_token(named.store_id, external_id, named.inner)),))


def test_the_keys_of_a_store_are_not_moved_to_another_external_key(local: LocalDeployment, stub: XksStub) -> None:
    store_id = new_store(local)
    key_id = new_key(local, store_id, stub.new_key("one"))
    stub.new_key("two")

    def tamper(transaction: Transaction) -> None:
        key = transaction.key(KeyLocator(ACCOUNT, REGION, key_id))
        assert key is not None
        transaction.save_key(key, with_external_id(key, "two"))

    local.deployment.backends.store.write(tamper)
    before = len(stub.requests)
    with pytest.raises(Refused, match="is damaged or missing"):
        local.call("Encrypt", KeyId=key_id, Plaintext=DATA)
    assert len(stub.requests) == before


def test_domain_keys_are_rotated_under_external_keys_without_a_proxy(local: LocalDeployment, stub: XksStub) -> None:
    store_id = new_store(local)
    key_id = new_key(local, store_id, stub.new_key("one"))
    blob = local.call("Encrypt", KeyId=key_id, Plaintext=DATA)["CiphertextBlob"]
    before = len(stub.requests)
    with closing(open_existing(local.settings, local.clock, entropy)) as opened:
        scopes = opened.domain_keys.begin(())
        for scope in scopes:
            assert opened.domain_keys.rewrap(scope) == ()
        assert not any(each.remaining for each in opened.domain_keys.status())
        assert opened.domain_keys.destroy_old(()) == scopes
    assert len(stub.requests) == before
    # The backing key, and the secret with which the proxy is called.
    assert local.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == DATA
    local.reopen()
    assert local.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == DATA
    with local.deployment.backends.store.read() as reader:
        key = reader.key(KeyLocator(ACCOUNT, REGION, key_id))
    assert key is not None
    token = key.materials[0].token
    assert token is not None
    assert domain_key_version(token) == 2
