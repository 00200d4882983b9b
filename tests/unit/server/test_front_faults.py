"""A defect, wherever it is, leaves no client waiting: its connection is answered or dropped, and the others go on."""

import asyncio
import logging
from typing import Any

import pytest

from direct_client import DirectClient
from loopback_server import LoopbackServer, run, status_of
from strongroom.errors import KMSInternalException, ThrottlingException
from strongroom.http.connection import Connection


def once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Plant a fault in the next call of a method."""
    whole = getattr(owner, name)

    def broken(*_: Any, **__: Any) -> Any:
        monkeypatch.setattr(owner, name, whole)
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(owner, name, broken)


def test_a_refusal_that_cannot_be_recorded_is_a_refusal_all_the_same(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    admitted = direct.gateway.admit(direct.kms_request(direct.profile(), "ListKeys", {}, {}))
    pipeline = direct.local.deployment.service.pipeline
    once(monkeypatch, pipeline._trail, "call")
    refused = pipeline.refuse(admitted.call, ThrottlingException("busy"))  # type: ignore[union-attr] # it is admitted
    assert isinstance(refused, KMSInternalException)


def test_a_turn_that_fails_drops_its_connections_and_no_others(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(loopback: LoopbackServer) -> None:
        once(monkeypatch, direct.local.deployment.service.pipeline, "take_turn")
        assert await loopback.call("GenerateRandom", NumberOfBytes=8) == 0
        assert await loopback.call("GenerateRandom", NumberOfBytes=8) == 200

    with caplog.at_level(logging.ERROR):
        run(direct, scenario)
    assert caplog.messages == ["requests could not be worked on; dropping their connections: 1"]


def test_a_call_that_fails_on_a_thread_is_answered_and_the_thread_goes_on(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(loopback: LoopbackServer) -> None:
        once(monkeypatch, direct.local.deployment.service.pipeline, "take_through")
        assert await loopback.call("CreateKey") == 500
        assert await loopback.call("CreateKey") == 200
        assert set(loopback.front.limits.in_work.values()) == {0}

    run(direct, scenario)


def test_a_reply_that_cannot_be_written_ends_its_connection_alone(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(loopback: LoopbackServer) -> None:
        clients = [await loopback.connected() for _ in range(3)]
        await asyncio.sleep(0.1)
        once(monkeypatch, Connection, "send")
        for _, writer in clients:
            writer.write(loopback.request("GenerateRandom", NumberOfBytes=8))
        assert sorted([await status_of(reader) for reader, _ in clients]) == [0, 200, 200]
        for _, writer in clients:
            writer.close()

    run(direct, scenario)


def test_requests_without_a_record_are_reported_by_the_sweeper_and_at_the_end(
    direct: DirectClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strongroom.server.open_connections._SWEEP_INTERVAL", 0.05)
    limit, clock = direct.local.deployment.service.unauthenticated.limit, direct.local.clock
    told = "refused unauthenticated requests have no audit record"

    async def scenario(_house: LoopbackServer) -> None:
        for _ in range(1003):
            limit.take(clock.now())
        clock.advance(60)
        await asyncio.sleep(0.2)
        assert f"3 {told}" in caplog.messages
        for _ in range(1004):
            limit.take(clock.now())

    with caplog.at_level(logging.WARNING):
        run(direct, scenario)
    assert caplog.messages[-1] == f"4 {told}"
