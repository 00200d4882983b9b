"""An HTTP front on a loopback port within the test's process, so that a test can inspect and break its parts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing

import uvloop

from direct_client import DirectClient
from raw_connections import request_bytes
from strongroom.http.connection import Connection, Limits
from strongroom.http.fast_parser import FastParser
from strongroom.operations.lanes import Lane
from strongroom.server.front import Capacity, Front
from strongroom.service.counters import CallCounters

PATIENCE = 120.0
LEASE_WAIT = 0.3
"""How long a request waits for a lease of the node, seconds."""


class LoopbackServer:
    """An HTTP front on a loopback port, and clients that send signed requests to it."""

    def __init__(self, front: Front, direct: DirectClient, port: int, counters: CallCounters) -> None:
        self.front = front
        self.counters = counters
        self._direct = direct
        self.port = port

    async def connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    def request(self, operation: str, **body: object) -> bytes:
        return request_bytes(self._direct.kms_request(self._direct.profile(), operation, {}, body))

    async def call(self, operation: str, **body: object) -> int:
        """Make a call on a new connection; return its status, or 0 if the connection was dropped."""
        return await self.send(self.request(operation, **body))

    async def send(self, request: bytes) -> int:
        """Send a request on a new connection; return the status, or 0 if the connection was dropped."""
        reader, writer = await self.connected()
        writer.write(request)
        status = await status_of(reader)
        writer.close()
        return status


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; raises TimeoutError after some seconds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


async def status_of(reader: asyncio.StreamReader) -> int:
    try:
        line = await asyncio.wait_for(reader.readline(), PATIENCE)
    except ConnectionError:
        return 0
    return int(line.split()[1]) if line else 0


@asynccontextmanager
async def loopback_server(direct: DirectClient, limits: Limits) -> AsyncIterator[LoopbackServer]:
    loop, deployment = asyncio.get_running_loop(), direct.local.deployment
    threads: dict[Lane, int] = {lane: 1 for lane in Lane if lane is not Lane.INLINE}
    capacity = Capacity(threads, 100, 1 << 20)
    parts = (loop, direct.gateway, deployment.service, deployment.log, capacity, direct.local.clock)
    counters = CallCounters()
    with closing(Front(*parts, counters=counters, lease_wait=lambda: LEASE_WAIT)) as front:
        fast_parser = FastParser(limits.head, limits.body)
        server = await loop.create_server(
            lambda: Connection(front.connections, limits, fast_parser, secure=False), "127.0.0.1", 0
        )
        try:
            yield LoopbackServer(front, direct, server.sockets[0].getsockname()[1], counters)
        finally:
            server.close()
            await front.drain(1)


def run(
    direct: DirectClient, scenario: Callable[[LoopbackServer], Awaitable[None]], limits: Limits | None = None
) -> None:
    async def main() -> None:
        async with loopback_server(direct, limits or Limits()) as loopback:
            await scenario(loopback)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
