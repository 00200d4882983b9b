"""An unexpected exception anywhere in the server affects only its own connection."""

import asyncio
import logging
from typing import Any

import pytest

from direct_client import DirectClient
from loopback_server import PATIENCE, LoopbackServer, run, status_of, until
from strongroom.errors import KMSInternalException, ThrottlingException
from strongroom.http.connection import Connection
from strongroom.server.dispatcher import Dispatcher
from strongroom.server.reply_queue import ReplyQueue


def fail_once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Make the next call of a method raise an exception."""
    original = getattr(owner, name)

    def broken(*_: Any, **__: Any) -> Any:
        monkeypatch.setattr(owner, name, original)
        raise ZeroDivisionError("injected")

    monkeypatch.setattr(owner, name, broken)


async def read_access_key(loopback: LoopbackServer) -> None:
    """Have the access key cached, so that the next request is admitted on the event loop."""
    assert await loopback.call("GenerateRandom", NumberOfBytes=8) == 200


def test_a_refusal_whose_record_fails_is_still_a_refusal(direct: DirectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    admitted = direct.gateway.admit(direct.kms_request(direct.profile(), "ListKeys", {}, {}))
    pipeline = direct.local.deployment.service.pipeline
    fail_once(monkeypatch, pipeline._trail, "call")
    refused = pipeline.refuse(admitted.call, ThrottlingException("busy"))  # type: ignore[union-attr] # it is admitted
    assert isinstance(refused, KMSInternalException)


def test_an_exception_in_a_turn_of_the_loop_drops_the_connections_of_that_turn_only(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(loopback: LoopbackServer) -> None:
        fail_once(monkeypatch, direct.local.deployment.service.pipeline, "take_turn")
        assert await loopback.call("GenerateRandom", NumberOfBytes=8) == 0
        assert await loopback.call("GenerateRandom", NumberOfBytes=8) == 200

    with caplog.at_level(logging.ERROR):
        run(direct, scenario)
    assert caplog.messages == ["requests could not be worked on; dropping their connections: 1"]


def test_an_exception_on_a_thread_is_answered_and_the_thread_goes_on(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(loopback: LoopbackServer) -> None:
        await read_access_key(loopback)
        fail_once(monkeypatch, direct.local.deployment.service.pipeline, "take_through")
        assert await loopback.call("CreateKey") == 500
        assert await loopback.call("CreateKey") == 200
        assert set(loopback.front.limits.in_work.values()) == {0}

    run(direct, scenario)
    assert [each.get("errorCode") for each in direct.local.records()[-2:]] == ["KMSInternalException", None]


@pytest.mark.parametrize("operation", ["CreateKey", "GenerateRandom"])
@pytest.mark.parametrize(("owner", "name"), [(ReplyQueue, "_note"), (ReplyQueue, "_send"), (Dispatcher, "_follow")])
def test_an_exception_on_the_way_to_the_reply_drops_the_connection(
    direct: DirectClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    operation: str,
    owner: Any,
    name: str,
) -> None:
    body = {} if operation == "CreateKey" else {"NumberOfBytes": 8}

    async def scenario(loopback: LoopbackServer) -> None:
        await read_access_key(loopback)
        fail_once(monkeypatch, owner, name)
        first = await loopback.call(operation, **body)
        # GenerateRandom is answered in its turn, which follows no step.
        assert first == (200 if (name, operation) == ("_follow", "GenerateRandom") else 0)
        monkeypatch.undo()
        assert await loopback.call(operation, **body) == 200
        assert set(loopback.front.limits.in_work.values()) == {0}

    with caplog.at_level(logging.ERROR):
        run(direct, scenario)


def test_a_request_whose_admission_fails_gets_a_typed_error(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(loopback: LoopbackServer) -> None:
        fail_once(monkeypatch, direct.gateway, "admit")
        reader, writer = await loopback.connected()
        writer.write(loopback.request("GenerateRandom", NumberOfBytes=8))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        assert head.startswith(b"HTTP/1.1 500 ")
        assert b"KMSInternalException" in await asyncio.wait_for(reader.readuntil(b"}"), PATIENCE)
        writer.close()

    run(direct, scenario)


def test_a_reply_that_cannot_be_written_ends_only_its_connection(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(loopback: LoopbackServer) -> None:
        clients = [await loopback.connected() for _ in range(3)]
        await until(lambda: len(loopback.front.connections.open) == 3)
        fail_once(monkeypatch, Connection, "send")
        for _, writer in clients:
            writer.write(loopback.request("GenerateRandom", NumberOfBytes=8))
        assert sorted([await status_of(reader) for reader, _ in clients]) == [0, 200, 200]
        for _, writer in clients:
            writer.close()

    run(direct, scenario)


def test_the_number_of_unrecorded_requests_is_logged_by_the_sweeper_and_at_the_end(
    direct: DirectClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strongroom.server.open_connections._SWEEP_INTERVAL", 0.05)
    limit, clock = direct.local.deployment.service.unauthenticated.limit, direct.local.clock
    warning = "refused unauthenticated requests have no audit record"

    async def scenario(_loopback: LoopbackServer) -> None:
        for _ in range(1003):
            limit.take(clock.now())
        clock.advance(60)
        await until(lambda: f"3 {warning}" in caplog.messages)
        for _ in range(1004):
            limit.take(clock.now())

    with caplog.at_level(logging.WARNING):
        run(direct, scenario)
    assert caplog.messages[-1] == f"4 {warning}"
