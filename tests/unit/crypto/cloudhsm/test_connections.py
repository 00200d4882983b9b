"""The connections of a process to the tokens of custom key stores, when these are disconnected and connected again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cluster_deployment import SECOND, deployment_with_clusters, new_key, new_store
from local_deployment import LocalDeployment, Refused
from strongroom.clock import ManualClock
from strongroom.crypto.token_errors import TokenUnavailableError
from strongroom.errors import KMSInvalidStateException
from strongroom.keys.custom_key_stores import ConnectionState, CustomKeyStore

DATA = "ZGF0YQ=="


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalDeployment]:
    local = deployment_with_clusters(tmp_path, clock, monkeypatch)
    yield local
    local.deployment.close()


def test_a_connection_ends_when_its_store_is_disconnected(local: LocalDeployment) -> None:
    store_id = new_store(local)
    key_id = new_key(local, store_id)
    clusters: Any = local.deployment.backends.clusters
    token = clusters.token_of("000000000000", "us-east-1", store_id)
    local.deployment.back_ends.look()
    token.check()
    local.call("DisconnectCustomKeyStore", CustomKeyStoreId=store_id)
    with pytest.raises(Refused, match="KMSInvalidStateException"):
        local.call("Encrypt", KeyId=key_id, Plaintext=DATA)
    local.deployment.back_ends.look()
    with pytest.raises(Exception, match="does not answer"):
        token.check()
    local.call("ConnectCustomKeyStore", CustomKeyStoreId=store_id)
    assert local.call("Encrypt", KeyId=key_id, Plaintext=DATA)
    assert clusters.token_of("000000000000", "us-east-1", store_id) is not token


def test_a_call_that_has_seen_an_earlier_connection_of_its_store_opens_none(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has an older password, too: tokens count wrong ones."""
    store_id = new_store(local)
    clusters: Any = local.deployment.backends.clusters
    place = ("000000000000", "us-east-1", store_id)
    earlier = clusters._stores.find_now(*place)
    clusters.token_of(*place).check()
    local.call("DisconnectCustomKeyStore", CustomKeyStoreId=store_id)
    local.call("ConnectCustomKeyStore", CustomKeyStoreId=store_id)
    token = clusters.token_of(*place)
    token.check()

    with monkeypatch.context() as late:
        late.setattr(clusters._stores, "find", lambda *_: earlier)
        assert clusters.token_of(*place) is token
        token.check()
        local.call("DisconnectCustomKeyStore", CustomKeyStoreId=store_id)
        local.deployment.back_ends.look()
        with pytest.raises(KMSInvalidStateException):
            clusters.token_of(*place)


def set_back(local: LocalDeployment, store: CustomKeyStore) -> None:
    """Have the database say what it said of a store before, as one that was restored while servers use it."""
    local.deployment.backends.store.write(lambda transaction: transaction.put_custom_key_store(store))


@pytest.mark.parametrize("is_ended", [True, False])
def test_a_store_of_a_database_that_was_set_back_is_used_again(local: LocalDeployment, *, is_ended: bool) -> None:
    store_id = new_store(local)
    key_id = new_key(local, store_id)
    clusters: Any = local.deployment.backends.clusters
    place = ("000000000000", "us-east-1", store_id)
    earlier = clusters._stores.find_now(*place)
    local.call("DisconnectCustomKeyStore", CustomKeyStoreId=store_id)
    local.call("ConnectCustomKeyStore", CustomKeyStoreId=store_id)
    assert local.call("Encrypt", KeyId=key_id, Plaintext=DATA)
    if is_ended:
        local.call("DisconnectCustomKeyStore", CustomKeyStoreId=store_id)
        local.deployment.back_ends.look()
    set_back(local, earlier)
    assert earlier.connections < clusters._of(earlier).made[0]
    assert local.call("Encrypt", KeyId=key_id, Plaintext=DATA)
    token = clusters.token_of(*place)
    local.deployment.back_ends.look()
    assert clusters.token_of(*place) is token
    set_back(local, replace(earlier, state=ConnectionState.DISCONNECTED, connections=0))
    local.deployment.back_ends.look()
    with pytest.raises(TokenUnavailableError):
        token.check()


def test_a_number_of_a_connection_that_counts_again_means_another_cluster(local: LocalDeployment) -> None:
    """The store was never connected to the second cluster, as far as the database knows."""
    store_id = new_store(local)
    clusters: Any = local.deployment.backends.clusters
    place = ("000000000000", "us-east-1", store_id)
    assert clusters.token_of(*place).require().name.label == "first"
    set_back(local, replace(clusters._stores.find_now(*place), cluster_id=SECOND))
    assert clusters.token_of(*place, now=True).require().name.label == "second"
