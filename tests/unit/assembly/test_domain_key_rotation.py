"""Domain keys are rotated by a command while a server goes on, and by the keeper when they are due."""

import base64
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from audits import command_records
from domain_key_scene import REGION, command, decrypt, encrypt, locator, new_key, rotate, versions
from faulty_stores import change
from key_import import parameters, wrapped
from local_deployment import LocalDeployment, Refused, entropy
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.deployment import Deployment
from strongroom.assembly.domain_key_rotation import RETENTION
from strongroom.assembly.open_folder import OpenFolder
from strongroom.assembly.registrar import access_key_record
from strongroom.assembly.relocation.mark import MoveMark, MoveState, write_mark
from strongroom.clock import DAY, ManualClock
from strongroom.crypto.access_keys import new_access_key
from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.token_versions import domain_key_version
from strongroom.keys.arns import root_arn
from strongroom.keys.kms_key import KeyMaterial, KmsKey
from strongroom.snapshot.active_key import binding_of
from strongroom.store.protocol import Transaction
from strongroom.store.scopes import AccountScope

CLUSTER = {
    "CloudHsmClusterId": "cluster-2a23b4cdefg",
    "KeyStorePassword": "password",
    "TrustAnchorCertificate": "certificate",
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(time.time())  # noqa: TID251 - files have the real time


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    """Return a server's deployment, which stays open: it learns of a rotation as a running server does."""
    local = LocalDeployment(tmp_path / "data", clock, domain_key_rotation_days=0)
    yield local
    local.deployment.close()


def test_everything_opens_during_and_after_a_rotation(local: LocalDeployment) -> None:
    key_id = new_key(local, Tags=[{"TagKey": "a", "TagValue": "1"}])
    first = encrypt(local, key_id)
    local.call("RotateKeyOnDemand", KeyId=key_id)
    second = encrypt(local, key_id)
    mac_key = new_key(local, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    local.call("CreateCustomKeyStore", CustomKeyStoreName="one", **CLUSTER)
    with command(local) as opened:
        assert opened.domain_keys.begin(()) == sorted(versions(local))
        # Between the new version and the end, both open and the newest wraps.
        other = new_key(local)
        assert [decrypt(local, each) for each in (first, second, encrypt(local, other))] == ["eA=="] * 3
        for each in opened.domain_keys.status():
            assert opened.domain_keys.rewrap(each.scope) == ()
        assert not any(each.remaining for each in opened.domain_keys.status())
        assert opened.domain_keys.destroy_old(()) == sorted(versions(local))
    assert set(map(tuple, versions(local).values())) == {(2,)}
    assert [decrypt(local, each) for each in (first, second)] == ["eA=="] * 2
    local.call("GenerateMac", KeyId=mac_key, Message="eA==", MacAlgorithm="HMAC_SHA_256")
    local.reopen()
    assert [decrypt(local, each) for each in (first, second)] == ["eA=="] * 2
    assert local.deployment.service.readiness.check().problems == []
    assert [each["eventName"] for each in command_records(local.folder)] == ["RotateDomainKey", "DestroyDomainKey"]
    with command(local) as opened, opened.store.read() as reader:
        assert list(reader.findings(lambda key, material: _opens(opened, key, material))) == []


def _opens(opened: OpenFolder, key: KmsKey, material: KeyMaterial) -> bool:
    assert material.token is not None
    opened.backends.key_backends.of(key).load(material.token, binding_of(key, material.material_id))
    return domain_key_version(material.token) == 2


def test_an_older_version_is_kept_as_long_as_something_needs_it(local: LocalDeployment) -> None:
    key_id, good = new_key(local), new_key(local)
    blob = encrypt(local, good)
    database = DataFolder(local.folder).database
    change(database, "UPDATE kms_key SET description = 'changed' WHERE key_id = ?", key_id)
    with command(local) as opened:
        opened.domain_keys.begin((REGION,))
        assert opened.domain_keys.rewrap(REGION) == (f"key {locator(local, key_id).arn}",)
        with pytest.raises(DataFolderError, match=r"of `us-east-1` is still needed for 1 stored"):
            opened.domain_keys.destroy_old((REGION,))
        # Another rotation goes on with this one.
        assert opened.domain_keys.begin((REGION,)) == []
    assert versions(local)[REGION] == [1, 2]
    change(database, "UPDATE kms_key SET description = '' WHERE key_id = ?", key_id)
    with command(local) as opened:
        assert opened.domain_keys.rewrap(REGION) == ()
        assert opened.domain_keys.destroy_old((REGION,)) == [REGION]
        assert opened.domain_keys.destroy_old((REGION,)) == []
    assert versions(local)[REGION] == [2]
    assert decrypt(local, blob) == "eA=="
    encrypt(local, key_id)


def test_a_changed_row_gets_no_new_code(local: LocalDeployment) -> None:
    change(DataFolder(local.folder).database, "UPDATE account SET alias = 'other'")
    with command(local) as opened:
        opened.domain_keys.begin((IAM_SCOPE,))
        assert opened.domain_keys.rewrap(IAM_SCOPE) == (f"account {local.settings.account}",)
        with pytest.raises(DataFolderError, match="still needed for 1 stored"):
            opened.domain_keys.destroy_old((IAM_SCOPE,))


def test_a_scope_without_a_domain_key_is_refused(local: LocalDeployment) -> None:
    with command(local) as opened, pytest.raises(DataFolderError, match="there is no domain key for `eu-north-1`"):
        opened.domain_keys.begin(("eu-north-1",))


def test_a_scope_that_is_named_twice_is_rotated_once(local: LocalDeployment) -> None:
    with command(local) as opened:
        assert opened.domain_keys.begin((REGION, REGION)) == [REGION]
    assert versions(local)[REGION] == [1, 2]


def test_material_of_a_key_that_is_gone_is_named(local: LocalDeployment) -> None:
    key_id, good = new_key(local), new_key(local)
    with sqlite3.connect(DataFolder(local.folder).database) as database:
        database.execute("DELETE FROM kms_key WHERE key_id = ?", (key_id,))
    with command(local) as opened:
        opened.domain_keys.begin((REGION,))
        assert opened.domain_keys.rewrap(REGION) == (f"key {locator(local, key_id).arn}",)
        assert opened.domain_keys.status([REGION])[0].remaining == 1
    encrypt(local, good)


def test_damaged_access_keys_do_not_keep_others_from_being_wrapped_anew(local: LocalDeployment) -> None:
    backends, account = local.deployment.backends, local.settings.account
    keys = [new_access_key("AKIA", entropy, account) for _ in range(60)]
    records = [access_key_record(backends.secrets, each, account, root_arn(REGION, account), 0.0) for each in keys]

    def add(transaction: Transaction) -> None:
        for each in records:
            transaction.add_access_key(each)

    backends.store.write(add, AccountScope(account))
    first = "SELECT access_key_id FROM access_key ORDER BY access_key_id LIMIT 50"
    change(DataFolder(local.folder).database, f"UPDATE access_key SET created_at = 1 WHERE access_key_id IN ({first})")  # noqa: S608
    with command(local) as opened:
        opened.domain_keys.begin((IAM_SCOPE,))
        assert len(opened.domain_keys.rewrap(IAM_SCOPE)) == 50
        with opened.store.read() as reader:
            assert reader.count_access_keys_under_older(2) == 50


def test_the_keeper_of_a_server_without_calls_finishes_a_rotation(local: LocalDeployment) -> None:
    new_key(local)
    local.deployment.keeper.run()
    with command(local) as opened:
        opened.domain_keys.begin((REGION,))
    local.deployment.keeper.run()
    with command(local) as opened:
        assert opened.domain_keys.status((REGION,))[0].remaining == 0


def test_a_rotation_stops_when_the_deployment_is_moved(local: LocalDeployment) -> None:
    """A move takes its turn between two transactions; what was written after that would be lost."""
    new_key(local)
    with command(local) as opened:
        opened.domain_keys.begin(())
        write_mark(opened.folder, MoveMark(MoveState.LEFT, "the database `db/strongroom`", "0" * 16))
        for scope in (REGION, IAM_SCOPE):
            with pytest.raises(DataFolderError, match="has moved to the database `db/strongroom`"):
                opened.domain_keys.rewrap(scope)
        assert all(each.remaining for each in opened.domain_keys.status((REGION, IAM_SCOPE)))


def test_the_keeper_does_not_wait_for_a_command(local: LocalDeployment, clock: ManualClock) -> None:
    """A command may hold the lock for hours, or have been stopped with Ctrl-Z."""
    rotate(local)
    local.deployment.keeper.run()
    clock.advance(RETENTION + 100)
    with DataFolder(local.folder).changing():
        keeper = threading.Thread(target=local.deployment.keeper.run, daemon=True)
        keeper.start()
        keeper.join(60)
        assert not keeper.is_alive()
    assert versions(local)[REGION] == [1, 2]
    clock.advance(61)
    local.deployment.keeper.run()
    assert versions(local)[REGION] == [2]


def test_a_clock_that_was_set_back_does_not_shorten_the_time_for_older_versions(
    local: LocalDeployment, clock: ManualClock
) -> None:
    for _ in range(12):
        local.deployment.keeper.run()
        clock.advance(60)
    local.deployment.close()
    clock.step(-30 * DAY)
    local.deployment = Deployment(local.settings, clock, entropy)
    rotate(local)
    clock.step(30 * DAY)
    for _ in range(20):
        clock.advance(61)
        local.deployment.keeper.run()
    assert versions(local)[REGION] == [1, 2]


def test_tokens_of_clients_are_good_until_the_old_version_is_destroyed(local: LocalDeployment) -> None:
    key_id = new_key(local, Origin="EXTERNAL")
    parameters = local.call(
        "GetParametersForImport", KeyId=key_id, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
    )
    material = {
        "KeyId": key_id,
        "ImportToken": parameters["ImportToken"],
        "EncryptedKeyMaterial": base64.b64encode(bytes(256)).decode(),
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
    }
    rotate(local)
    with pytest.raises(Refused, match="InvalidCiphertext"):
        local.call("ImportKeyMaterial", **material)
    with command(local) as opened:
        opened.domain_keys.destroy_old(())
    with pytest.raises(Refused, match="InvalidImportToken"):
        local.call("ImportKeyMaterial", **material)


def test_an_import_token_of_a_domain_key_that_was_destroyed(local: LocalDeployment) -> None:
    # Only that of the Region: the import token itself is good.
    key_id = new_key(local, Origin="EXTERNAL")
    request = {"KeyId": key_id, "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    sent = wrapped(parameters(local, key_id), bytes(32))
    rotate(local, REGION)
    with command(local) as opened:
        opened.domain_keys.destroy_old((REGION,))
    with pytest.raises(Refused, match="InvalidImportTokenException: The import token was issued under a domain key"):
        local.call("ImportKeyMaterial", **request, **sent)
    local.call("ImportKeyMaterial", **request, **wrapped(parameters(local, key_id), bytes(32)))


def test_the_keeper_finishes_a_rotation_and_destroys_the_old_version_in_time(
    local: LocalDeployment, clock: ManualClock
) -> None:
    key_id = new_key(local)
    blob = encrypt(local, key_id)
    with command(local) as opened:
        opened.domain_keys.begin(())
    local.deployment.keeper.run()
    with command(local) as opened:
        assert not any(each.remaining for each in opened.domain_keys.status())
    clock.advance(RETENTION - 3600)
    local.deployment.keeper.run()
    assert versions(local)[REGION] == [1, 2]
    clock.advance(3700)
    local.deployment.keeper.run()
    assert set(map(tuple, versions(local).values())) == {(2,)}
    assert decrypt(local, blob) == "eA=="
    assert local.deployment.keeper.counters.failures == 0


def test_the_keeper_rotates_by_schedule(tmp_path: Path, clock: ManualClock) -> None:
    local = LocalDeployment(tmp_path / "data", clock, domain_key_rotation_days=30)
    key_id = new_key(local)
    blob = encrypt(local, key_id)
    for days, expected in ((1, [1]), (30, [1, 2]), (2, [2]), (29, [2, 3]), (2, [3])):
        clock.advance(days * DAY)
        for _ in range(3):
            local.deployment.keeper.run()
            clock.advance(61)
        assert versions(local)[REGION] == versions(local)[IAM_SCOPE] == expected
    assert decrypt(local, blob) == "eA=="
    assert local.deployment.keeper.counters.failures == 0
    local.deployment.close()


def test_an_older_copy_of_a_wrapped_secret_does_not_open(local: LocalDeployment) -> None:
    """This is what the destruction of a domain key is for."""
    with local.deployment.backends.store.read() as reader:
        old = reader.audit_key()
    assert old is not None
    rotate(local, IAM_SCOPE)
    with command(local) as opened:
        opened.domain_keys.destroy_old((IAM_SCOPE,))
    with command(local) as opened, pytest.raises(UnsealError, match="no domain key for `iam` opens this envelope"):
        opened.backends.secrets.unwrap(old, b"")
