"""Requests that arrive while the node has no lease wait a moment for one, and are then refused and recorded."""

import asyncio
import threading
from typing import Any

import pytest

from direct_client import DirectClient
from late_nodes import LateNodes
from loopback_server import LEASE_WAIT, LoopbackServer, run, until
from strongroom.operations.kms.table import TABLE
from strongroom.server import lease_wait
from strongroom.store.leases.view import LeaseEnded

DATA = "ZGF0YQ=="


@pytest.fixture
def nodes(direct: DirectClient, monkeypatch: pytest.MonkeyPatch) -> LateNodes:
    return LateNodes(direct.local.deployment, monkeypatch)


def new_key(direct: DirectClient) -> str:
    key_id: str = direct.local.call("CreateKey")["KeyMetadata"]["KeyId"]
    return key_id


def waiting_in(loopback: LoopbackServer) -> int:
    return loopback.front._dispatcher._lease_wait.waiting


def errors_of(direct: DirectClient, since: int) -> list[tuple[str, str | None]]:
    return [(each["eventName"], each.get("errorCode")) for each in direct.local.records()[since:]]


def test_requests_wait_for_a_lease_on_the_loop_and_are_answered_then(direct: DirectClient, nodes: LateNodes) -> None:
    key_id = new_key(direct)
    before = len(direct.local.records())

    async def scenario(loopback: LoopbackServer) -> None:
        assert await loopback.call("Encrypt", KeyId=key_id, Plaintext=DATA) == 200
        nodes.has_lease = False
        answers = [asyncio.create_task(loopback.call("Encrypt", KeyId=key_id, Plaintext=DATA)) for _ in range(20)]
        await until(lambda: waiting_in(loopback) == 20)
        # No thread waits with them, and the loop goes on.
        assert set(loopback.front.limits.in_work.values()) == {0}
        assert await loopback.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n") == 200
        nodes.has_lease = True
        assert await asyncio.gather(*answers) == [200] * 20
        assert waiting_in(loopback) == 0

    run(direct, scenario)
    assert errors_of(direct, before) == [("Encrypt", None)] * 21


def test_without_a_lease_requests_are_refused_in_time_and_recorded(direct: DirectClient, nodes: LateNodes) -> None:
    key_id = new_key(direct)
    before = len(direct.local.records())

    async def scenario(loopback: LoopbackServer) -> None:
        nodes.has_lease = False
        answers = [asyncio.create_task(loopback.call("Encrypt", KeyId=key_id, Plaintext=DATA)) for _ in range(3)]
        await until(lambda: waiting_in(loopback) == 3)
        direct.local.clock.advance(LEASE_WAIT * 0.9)
        await asyncio.sleep(5 * lease_wait.INTERVAL)
        assert waiting_in(loopback) == 3
        direct.local.clock.advance(LEASE_WAIT * 0.2)
        assert await asyncio.gather(*answers) == [LeaseEnded.status] * 3
        assert loopback.counters.refused_without_lease == 3
        nodes.has_lease = True
        assert await loopback.call("Encrypt", KeyId=key_id, Plaintext=DATA) == 200

    run(direct, scenario)
    assert errors_of(direct, before) == [("Encrypt", "DependencyTimeoutException")] * 3 + [("Encrypt", None)]


def test_more_requests_than_may_wait_are_refused_at_once(
    direct: DirectClient, nodes: LateNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_wait, "MOST_WAITING", 1)

    async def scenario(loopback: LoopbackServer) -> None:
        nodes.has_lease = False
        first = asyncio.create_task(loopback.call("ListKeys"))
        await until(lambda: waiting_in(loopback) == 1)
        assert await loopback.call("ListKeys") == LeaseEnded.status
        assert loopback.counters.refused_without_lease == 1
        assert not first.done()
        direct.local.clock.advance(LEASE_WAIT)
        assert await first == LeaseEnded.status

    run(direct, scenario)


@pytest.mark.parametrize(("operation", "status"), [("ListKeys", LeaseEnded.status), ("DisableKey", LeaseEnded.status)])
def test_a_call_that_was_verified_under_a_lease_is_checked_again_on_its_thread(
    direct: DirectClient, nodes: LateNodes, monkeypatch: pytest.MonkeyPatch, operation: str, status: int
) -> None:
    key_id = new_key(direct)
    before = len(direct.local.records())
    blocked = threading.Event()
    whole = TABLE[operation].run

    def run_late(*parts: Any) -> Any:
        assert blocked.wait(60)
        return whole(*parts)

    monkeypatch.setattr(TABLE[operation], "run", run_late)
    body = {"KeyId": key_id} if operation == "DisableKey" else {}

    async def scenario(loopback: LoopbackServer) -> None:
        # The only thread of the lane is held by the first; the second is verified, and waits for the thread.
        first = asyncio.create_task(loopback.call(operation, **body))
        await until(lambda: sum(loopback.front.limits.in_work.values()) == 1)
        second = asyncio.create_task(loopback.call(operation, **body))
        await until(lambda: sum(loopback.front.limits.in_work.values()) == 2)
        nodes.has_lease = False
        blocked.set()
        assert await second == status
        nodes.has_lease = True
        nodes.settle()
        # This one had begun under a lease.
        assert await first == 200

    run(direct, scenario)
    assert errors_of(direct, before) == [(operation, None), (operation, "DependencyTimeoutException")]
    # Its caller was known.
    assert all("arn" in each["userIdentity"] for each in direct.local.records()[before:])


def test_a_server_that_stops_forgets_requests_that_wait(direct: DirectClient, nodes: LateNodes) -> None:
    async def scenario(loopback: LoopbackServer) -> None:
        nodes.has_lease = False
        answer = asyncio.create_task(loopback.call("ListKeys"))
        await until(lambda: waiting_in(loopback) == 1)
        await loopback.front.drain(0.01)
        assert await answer == 0

    run(direct, scenario)


def test_a_look_for_a_lease_that_fails_drops_the_connections(
    direct: DirectClient, nodes: LateNodes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A client must not wait for a reply that never comes."""

    def fail(*_: Any) -> None:
        raise LookupError

    async def scenario(loopback: LoopbackServer) -> None:
        waits = loopback.front._dispatcher._lease_wait
        nodes.has_lease = False
        answer = asyncio.create_task(loopback.call("ListKeys"))
        await until(lambda: waits.waiting == 1)
        monkeypatch.setattr(waits, "_go_on", fail)
        nodes.has_lease = True
        assert await answer == 0
        assert waits.waiting == 0
        monkeypatch.undo()
        assert await loopback.call("ListKeys") == 200

    run(direct, scenario)
    assert "requests that waited for a lease failed; dropping their connections: 1" in caplog.messages
