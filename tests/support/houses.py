"""A front on a loopback port, within the test's process, so that a test can look at its parts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing

import uvloop

from crowds import as_bytes
from doors import Door
from strongroom.http.connection import Connection, Limits
from strongroom.http.fast_parser import PlainRequests
from strongroom.operations.operation import Lane
from strongroom.server.front import Capacity, Front
from strongroom.service.counters import Measurements

PATIENCE = 5.0


class House:
    """A front on a loopback port, with clients that send what is signed."""

    def __init__(self, front: Front, door: Door, port: int) -> None:
        self.front = front
        self._door = door
        self._port = port

    async def connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    def request(self, operation: str, **body: object) -> bytes:
        return as_bytes(self._door.kms_request(self._door.profile(), operation, {}, body))

    async def call(self, operation: str, **body: object) -> int:
        """Make a call on a connection of its own; return its status, or 0 if it was dropped."""
        return await self.send(self.request(operation, **body))

    async def send(self, request: bytes) -> int:
        """Send a request on a connection of its own; return the status, or 0 if it was dropped."""
        reader, writer = await self.connected()
        writer.write(request)
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
    threads = {Lane.WAITING: 1, Lane.SIGNING: 1, Lane.COMPUTING: 1, Lane.GENERATING: 1}
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
