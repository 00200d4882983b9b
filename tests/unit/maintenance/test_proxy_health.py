"""The keeper asks the proxies of connected external key stores, a few in each round, and all every few minutes."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from custom_stores import CLUSTER, PROXY
from local_deployment import LocalDeployment
from strongroom.clock import ManualClock
from strongroom.crypto.external_keys import KeyUser
from strongroom.errors import ThrottlingException
from strongroom.keys.custom_key_stores import CustomKeyStore
from strongroom.keys.xks_failures import XksError, XksFailure
from strongroom.maintenance import proxy_health
from strongroom.maintenance.proxy_health import INTERVAL, ProxyHealth
from xks_stub import XksStub


class Managers:
    """Answers as it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failures: dict[str, Exception] = {}

    def require_healthy(self, store: CustomKeyStore, user: KeyUser) -> None:
        assert (user.operation, user.principal) == ("KmsHealthCheck", "kms.amazonaws.com")
        self.asked.append(store.store_id)
        if store.store_id in self.failures:
            raise self.failures[store.store_id]

    def require_usable(self, store: CustomKeyStore, external_id: str, user: KeyUser) -> None:
        raise NotImplementedError

    def outcomes(self) -> dict[tuple[str, str], int]:
        raise NotImplementedError


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock, xks_stub: XksStub) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock, xks_proxies=xks_stub.hosts)
    yield local
    local.deployment.close()


def new_store(local: LocalDeployment, number: int, region: str = "us-east-1", *, connected: bool = True) -> str:
    asked: dict[str, Any] = {**PROXY, "XksProxyUriPath": f"/{number}/kms/xks/v1"}
    made = local.call("CreateCustomKeyStore", CustomKeyStoreName=f"store {number}", **asked, region=region)
    if connected:
        local.call("ConnectCustomKeyStore", **made, region=region)
    store_id: str = made["CustomKeyStoreId"]
    return store_id


def test_every_connected_external_store_is_asked_once_in_a_sweep(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_health, "_BATCH", 3)
    found = {new_store(local, number, region) for region in ("us-east-1", "eu-west-1") for number in range(5)}
    new_store(local, 9, connected=False)
    local.call("CreateCustomKeyStore", CustomKeyStoreName="cluster", **CLUSTER)
    managers, healthy = Managers(), dict[str, bool]()
    health = ProxyHealth(replace(local.deployment.backends, key_managers=managers), local.clock.timer, healthy)
    asked = []
    for _ in range(20):
        before = len(managers.asked)
        health.check()
        asked.append(len(managers.asked) - before)
    assert max(asked) <= 4
    assert sorted(managers.asked) == sorted(found)
    assert healthy == dict.fromkeys(found, True)
    local.clock.advance(INTERVAL)
    (gone, *_) = sorted(found)
    region = "us-east-1" if gone in str(local.call("DescribeCustomKeyStores")) else "eu-west-1"
    local.call("DisconnectCustomKeyStore", CustomKeyStoreId=gone, region=region)
    for _ in range(20):
        health.check()
    assert len(managers.asked) == 2 * len(found) - 1
    assert healthy == dict.fromkeys(found - {gone}, True)


def test_what_has_changed_is_logged_once(local: LocalDeployment, caplog: pytest.LogCaptureFixture) -> None:
    store_id = new_store(local, 1)
    managers, healthy = Managers(), dict[str, bool]()
    health = ProxyHealth(replace(local.deployment.backends, key_managers=managers), local.clock.timer, healthy)
    failures: list[Exception | None] = [None, XksError(XksFailure.TIMED_OUT), ThrottlingException("busy"), None, None]
    caplog.set_level(logging.INFO)
    for failure, is_healthy in zip(failures, [True, False, False, True, True], strict=True):
        managers.failures = {} if failure is None else {store_id: failure}
        health.check()
        assert healthy == {store_id: is_healthy}
        local.clock.advance(INTERVAL)
    said = [line.message for line in caplog.records if "proxy" in line.message]
    assert said == [
        f"the proxy of custom key store {store_id} is not healthy: TimedOut",
        f"the proxy of custom key store {store_id} is healthy again",
    ]
    (entry,) = local.call("DescribeCustomKeyStores")["CustomKeyStores"]
    assert entry["ConnectionState"] == "CONNECTED"


def test_the_keeper_asks_in_its_rounds(local: LocalDeployment, xks_stub: XksStub) -> None:
    store_id = new_store(local, 1)
    before = len(xks_stub.requests)
    for _ in range(5):
        local.deployment.keeper.run()
    assert local.deployment.keeper.counters.healthy_proxies == {store_id: True}
    assert local.deployment.keeper.counters.failures == 0
    (asked,) = xks_stub.requests[before:]
    assert asked[1]["requestMetadata"]["kmsOperation"] == "KmsHealthCheck"
