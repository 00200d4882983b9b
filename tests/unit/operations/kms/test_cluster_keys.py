"""Keys in AWS CloudHSM: deletion, objects that are left behind, backups' view of them, and connections."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cluster_deployment import FIRST, deployment_with_clusters, new_key, new_store
from local_deployment import LocalDeployment, Refused
from softhsm import PIN
from strongroom.assembly.open_folder import open_existing
from strongroom.assembly.record_check import check_records
from strongroom.clock import DAY, ManualClock
from strongroom.crypto.pkcs11.aes_keys import TokenAesKey
from strongroom.crypto.token_errors import TokenFaultError, TokenTimeoutError, TokenUnavailableError
from strongroom.errors import (
    CustomKeyStoreInvalidStateException,
    DependencyTimeoutException,
)
from strongroom.settings import SettingsError
from strongroom.settings_sources import load
from strongroom.store.protocol import Transaction
from strongroom.store.sql.transaction import SqlTransaction
from strongroom.store.subjects.destructions import ErasedDomainKey
from token_objects import ids_of_secret_keys

DATA = "ZGF0YQ=="


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalDeployment]:
    local = deployment_with_clusters(tmp_path, clock, monkeypatch)
    yield local
    local.deployment.close()


def objects(local: LocalDeployment, store_id: str) -> list[str]:
    """Return the ids of the objects in the token of a store."""
    clusters: Any = local.deployment.backends.clusters
    found: list[bytes] = clusters.token_of("000000000000", "us-east-1", store_id).run(ids_of_secret_keys)
    return [each.hex() for each in found]


def schedule(local: LocalDeployment, key_id: str) -> None:
    local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)


def deletion(local: LocalDeployment) -> dict[str, Any]:
    local.clock.advance(8 * DAY)
    local.deployment.keeper.run()
    local.deployment.log.flush()
    (record,) = [each for each in local.records() if each["eventName"] == "DeleteKey"]
    details: dict[str, Any] = record["serviceEventDetails"]
    return details


def test_deletion_destroys_the_object_at_the_end_of_the_waiting_period(local: LocalDeployment) -> None:
    store_id = new_store(local)
    key_id, other = new_key(local, store_id), new_key(local, store_id)
    made = objects(local, store_id)
    assert len(made) == 2
    schedule(local, key_id)
    assert objects(local, store_id) == made
    details = deletion(local)
    (left,) = objects(local, store_id)
    assert details["customKeyStoreId"] == store_id
    assert details["clusterId"] == FIRST
    (gone,) = set(made) - {left}
    assert details["backingKeys"] == [{"backingKeyId": gone}]
    assert "backingKeysDeletionStatus" not in details
    assert local.call("Encrypt", KeyId=other, Plaintext=DATA)


def test_an_object_in_a_store_that_is_not_connected_is_named_and_destroyed_once_it_is(
    local: LocalDeployment, caplog: pytest.LogCaptureFixture
) -> None:
    store_id = new_store(local)
    key_id = new_key(local, store_id)
    (made,) = objects(local, store_id)
    schedule(local, key_id)
    local.call("DisconnectCustomKeyStore", CustomKeyStoreId=store_id)
    with caplog.at_level(logging.WARNING):
        details = deletion(local)
    assert details["backingKeysDeletionStatus"] == [{"backingKeyId": made, "deletionStatus": "FAILURE"}]
    assert f"key material {made} of key {key_id}" in caplog.text
    assert "is erased and not yet destroyed; that is tried again (" in caplog.text
    assert "Traceback" not in caplog.text
    local.call("ConnectCustomKeyStore", CustomKeyStoreId=store_id)
    assert objects(local, store_id) == [made]
    local.clock.advance(60)
    local.deployment.keeper.run()
    assert objects(local, store_id) == []


def test_an_object_in_a_store_that_was_deleted_meanwhile_is_given_up(
    local: LocalDeployment, caplog: pytest.LogCaptureFixture
) -> None:
    store_id = new_store(local)
    schedule(local, new_key(local, store_id))
    (made,) = objects(local, store_id)
    local.call("DisconnectCustomKeyStore", CustomKeyStoreId=store_id)
    deletion(local)
    local.call("DeleteCustomKeyStore", CustomKeyStoreId=store_id)
    local.clock.advance(60)
    local.deployment.keeper.run()
    assert f"the erased key material {made} of key" in caplog.text
    assert "is left where it is, because its custom key store was deleted" in caplog.text
    assert local.deployment.keeper.counters.destructions_left == 0


def test_a_key_is_not_stored_once_the_keeper_has_destroyed_its_material(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is stopped for hours between the two must not store a key that cannot be used."""
    store_id = new_store(local)
    create = TokenAesKey.create

    def stopped_for_hours(key: TokenAesKey, *arguments: Any) -> None:
        create(key, *arguments)
        local.clock.advance(2 * 3600)
        local.deployment.keeper.run()
        assert objects(local, store_id) == []

    with monkeypatch.context() as slow:
        slow.setattr(TokenAesKey, "create", stopped_for_hours)
        with pytest.raises(Refused, match="DependencyTimeoutException"):
            new_key(local, store_id)
    assert local.call("ListKeys")["Keys"] == []
    assert new_key(local, store_id)
    assert len(objects(local, store_id)) == 1


def test_what_is_made_and_not_needed_is_left_to_nothing(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that fails leaves neither an object nor a note of one; a token that is away then, a note."""
    store_id = new_store(local)

    def refused(*_: object) -> None:
        raise DependencyTimeoutException

    def away(*_: object) -> None:
        raise TokenUnavailableError("the token is away")

    def left() -> int:
        with local.deployment.backends.store.read() as reader:
            return reader.destruction_backlog().count

    for destroy, expected in ((TokenAesKey.destroy, 0), (away, 1)):
        with monkeypatch.context() as failing:
            failing.setattr(SqlTransaction, "add_key", refused)
            failing.setattr(TokenAesKey, "destroy", destroy)
            with pytest.raises(Refused, match="DependencyTimeoutException"):
                new_key(local, store_id)
        assert (len(objects(local, store_id)), left()) == (expected, expected)
    local.clock.advance(3601)
    local.deployment.keeper.run()
    assert (objects(local, store_id), left()) == ([], 0)


def test_an_announcement_does_not_end_early_because_the_clock_was_set_back(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_id = new_store(local)
    create = TokenAesKey.create

    def corrected(key: TokenAesKey, *arguments: Any) -> None:
        create(key, *arguments)
        local.clock.step(DAY)
        local.deployment.keeper.run()
        assert len(objects(local, store_id)) == 1

    local.clock.step(-DAY)
    monkeypatch.setattr(TokenAesKey, "create", corrected)
    assert new_key(local, store_id)


@pytest.mark.parametrize(
    ("error", "is_made", "expected"),
    [
        (TokenFaultError("it refuses"), False, 0),
        (TokenUnavailableError("its connection was lost"), True, 0),
        (CustomKeyStoreInvalidStateException("it is not connected"), False, 0),
        # It may still be made.
        (TokenTimeoutError("it did not answer"), False, 1),
    ],
)
def test_a_failed_attempt_to_make_a_key_leaves_no_note(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: int, *, is_made: bool
) -> None:
    store_id = new_store(local)
    create = TokenAesKey.create

    def failing(key: TokenAesKey, *arguments: Any) -> None:
        if is_made:
            create(key, *arguments)
        raise error

    monkeypatch.setattr(TokenAesKey, "create", failing)
    with pytest.raises(Refused):
        new_key(local, store_id)
    with local.deployment.backends.store.read() as reader:
        assert reader.destruction_backlog().count == expected
    assert objects(local, store_id) == []


def test_what_a_node_has_to_leave_does_not_hide_what_it_can_destroy(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a node that serves the Region can tell whether an object that was announced has a domain key."""
    store_id = new_store(local)
    schedule(local, new_key(local, store_id))

    def away(*_: object) -> None:
        raise TokenUnavailableError("the token is away")

    with monkeypatch.context() as failing:
        failing.setattr(TokenAesKey, "destroy", away)
        deletion(local)

    def announce(transaction: Transaction) -> None:
        for number in range(120):
            transaction.add_destruction(ErasedDomainKey("eu-west-9", 2, f"{number:032x}", uncommitted=True))

    local.deployment.backends.store.write(announce)
    local.clock.advance(3600)
    local.deployment.keeper.run()
    assert objects(local, store_id) == []
    assert local.deployment.keeper.counters.destructions_left == 120


def test_keys_are_whole_for_commands_that_use_none(local: LocalDeployment) -> None:
    key_id = new_key(local, new_store(local))
    with closing(open_existing(local.settings, local.clock, local.deployment.backends.entropy)) as opened:
        found = check_records(opened.store, opened.backends.key_backends)
        assert list(found) == []
    local.reopen()
    assert local.call("Encrypt", KeyId=key_id, Plaintext=DATA)["KeyId"].endswith(key_id)


def test_one_token_serves_one_store(local: LocalDeployment) -> None:
    """Two clusters that are one token under other names, which the settings cannot tell."""
    store_id = new_store(local)
    key_id = new_key(local, store_id)
    other = new_store(local, "cluster-ccccccccccc")
    (entry,) = local.call("DescribeCustomKeyStores", CustomKeyStoreId=other)["CustomKeyStores"]
    assert (entry["ConnectionState"], entry["ConnectionErrorCode"]) == ("FAILED", "INTERNAL_ERROR")
    assert local.call("Encrypt", KeyId=key_id, Plaintext=DATA)
    with pytest.raises(Refused, match="CloudHsmClusterInUseException"):
        new_store_elsewhere(local)


def new_store_elsewhere(local: LocalDeployment) -> None:
    local.call(
        "CreateCustomKeyStore",
        region="eu-west-1",
        CustomKeyStoreName="elsewhere",
        CloudHsmClusterId=FIRST,
        KeyStorePassword=PIN,
        TrustAnchorCertificate="certificate",
    )


def test_material_that_a_lost_login_hides_is_destroyed(local: LocalDeployment) -> None:
    """The token says OK, and has no object, and the note of what is to be destroyed would go."""
    store_id = new_store(local)
    schedule(local, new_key(local, store_id))
    clusters: Any = local.deployment.backends.clusters
    token = clusters.token_of("000000000000", "us-east-1", store_id)
    functions = token.require().module.functions
    token.run(lambda session: functions.call("Logout", session.calls.session))
    assert objects(local, store_id) == []
    assert "backingKeysDeletionStatus" not in deletion(local)
    token.require().module.lose(token.generation)
    assert objects(local, store_id) == []


CLUSTER = '[[cloudhsm-clusters]]\nid = "cluster-aaaaaaaaaaa"\nmodule = "/lib/m.so"\ntoken = "one"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CLUSTER + CLUSTER, "cloudhsm-clusters has `cluster-aaaaaaaaaaa` twice"),
        (CLUSTER + CLUSTER.replace("aaa", "bbb"), "has the token of `cluster-aaaaaaaaaaa`; one token serves one use"),
        ('pkcs11-module = "/lib/m.so"\npkcs11-token = "one"\n' + CLUSTER, "has the token of `pkcs11-token`"),
        (CLUSTER.replace("/lib/", ""), "must be an absolute path"),
        (CLUSTER.replace("cluster-", ""), "cloudhsm-clusters"),
        (
            CLUSTER + CLUSTER.replace("aaa", "bbb").replace("one", "two") + 'init-args = "x"\n',
            "has other init-args than others of its module",
        ),
    ],
)
def test_mistakes_in_the_setting_are_named(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(text, {}, {})
    assert said in str(refused.value)
