"""A defect, wherever it is, leaves nobody waiting: its connection is answered or dropped, and the others go on."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import uvloop

from deployments import Bench
from doors import Door
from strongroom.api.connection import Connection, Limits
from strongroom.api.front import Capacity, Front
from strongroom.api.plain_request import PlainRequests
from strongroom.clock import ManualClock
from strongroom.errors import KMSInternalException, ThrottlingException
from strongroom.operations.operation import Lane
from strongroom.service.measurements import Measurements

PATIENCE = 5.0


@pytest.fixture
def door(tmp_path: Path, clock: ManualClock) -> Iterator[Door]:
    bench = Bench(tmp_path / "data", clock)
    yield Door(bench)
    bench.deployment.close()


class House:
    """A front on a loopback port, with clients that send what is signed."""

    def __init__(self, front: Front, door: Door, port: int) -> None:
        self.front = front
        self._door = door
        self._port = port

    async def connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    def request(self, operation: str, **body: int) -> bytes:
        request = self._door.kms_request(self._door.profile(), operation, {}, body)
        lines = [f"{name}: {value}" for name, value in request.headers.items()]
        head = ["POST / HTTP/1.1", *lines, f"content-length: {len(request.body)}", "", ""]
        return "\r\n".join(head).encode() + request.body

    async def call(self, operation: str, **body: int) -> int:
        """Make a call on a connection of its own; return its status, or 0 if it was dropped."""
        reader, writer = await self.connected()
        writer.write(self.request(operation, **body))
        status = await status_of(reader)
        writer.close()
        return status


async def status_of(reader: asyncio.StreamReader) -> int:
    try:
        line = await asyncio.wait_for(reader.readline(), PATIENCE)
    except ConnectionError:
        return 0
    return int(line.split()[1]) if line else 0


@asynccontextmanager
async def house_of(door: Door) -> AsyncIterator[House]:
    loop, deployment = asyncio.get_running_loop(), door.bench.deployment
    threads = {Lane.WAITING: 1, Lane.COMPUTING: 1, Lane.GENERATING: 1}
    capacity = Capacity(threads, 100, 1 << 20)
    parts = (loop, door.gateway, deployment.service, deployment.log, capacity, door.bench.clock)
    limits = Limits()
    with closing(Front(*parts, measurements=Measurements())) as front:
        plain_requests = PlainRequests(limits.head, limits.body)
        server = await loop.create_server(
            lambda: Connection(front, limits, plain_requests, secure=False), "127.0.0.1", 0
        )
        try:
            yield House(front, door, server.sockets[0].getsockname()[1])
        finally:
            server.close()
            await front.drain(1)


def run(door: Door, scenario: Callable[[House], Awaitable[None]]) -> None:
    async def main() -> None:
        async with house_of(door) as house:
            await scenario(house)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Plant a fault in the next call of a method."""
    whole = getattr(owner, name)

    def broken(*_: Any, **__: Any) -> Any:
        monkeypatch.setattr(owner, name, whole)
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(owner, name, broken)


def test_a_refusal_that_cannot_be_recorded_is_a_refusal_all_the_same(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    admitted = door.gateway.admit(door.kms_request(door.profile(), "ListKeys", {}, {}))
    service = door.bench.deployment.service
    once(monkeypatch, service._trail, "call")
    refused = service.refuse(admitted.call, ThrottlingException("busy"))  # type: ignore[union-attr] # it is admitted
    assert isinstance(refused, KMSInternalException)


def test_a_turn_that_fails_drops_its_connections_and_no_others(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(house: House) -> None:
        once(monkeypatch, door.bench.deployment.service, "prepare")
        assert await house.call("GenerateRandom", NumberOfBytes=8) == 0
        assert await house.call("GenerateRandom", NumberOfBytes=8) == 200

    with caplog.at_level(logging.ERROR):
        run(door, scenario)
    assert caplog.messages == ["requests could not be worked on; dropping their connections: 1"]


def test_a_call_that_fails_on_a_thread_is_answered_and_the_thread_goes_on(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(house: House) -> None:
        once(monkeypatch, door.bench.deployment.service, "perform")
        assert await house.call("CreateKey") == 500
        assert await house.call("CreateKey") == 200
        assert set(house.front._on_threads.values()) == {0}

    run(door, scenario)


def test_a_reply_that_cannot_be_written_ends_its_connection_alone(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(house: House) -> None:
        clients = [await house.connected() for _ in range(3)]
        await asyncio.sleep(0.1)
        once(monkeypatch, Connection, "send")
        for _, writer in clients:
            writer.write(house.request("GenerateRandom", NumberOfBytes=8))
        assert sorted([await status_of(reader) for reader, _ in clients]) == [0, 200, 200]
        for _, writer in clients:
            writer.close()

    run(door, scenario)


def test_what_left_no_record_is_told_by_the_sweeper_and_at_the_end(
    door: Door, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strongroom.api.front._SWEEP_INTERVAL", 0.05)
    ration, clock = door.gateway.ration, door.bench.clock
    told = "requests whose signatures did not verify have no audit record"

    async def scenario(_house: House) -> None:
        for _ in range(1003):
            ration.take(clock.now())
        clock.advance(60)
        await asyncio.sleep(0.2)
        assert f"3 {told}" in caplog.messages
        for _ in range(1004):
            ration.take(clock.now())

    with caplog.at_level(logging.WARNING):
        run(door, scenario)
    assert caplog.messages[-1] == f"4 {told}"
