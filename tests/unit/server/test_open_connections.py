"""Clients that are too slow are disconnected, but not for time in which the server did not run."""

import asyncio
import socket
import time

import pytest

from direct_client import DirectClient
from loopback_server import PATIENCE, LoopbackServer, run, status_of, until
from strongroom.http.connection import Connection, Limits
from strongroom.http.timeouts import Timeouts
from strongroom.server import open_connections

REQUEST, IDLE = 0.3, 0.6
LIMITS = Limits(timeouts=Timeouts(request=REQUEST, idle=IDLE))


@pytest.fixture(autouse=True)
def short_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_connections, "_SWEEP_INTERVAL", 0.05)
    monkeypatch.setattr(open_connections, "_HANG", 0.1)


def the_connection(loopback: LoopbackServer) -> Connection:
    (connection,) = loopback.front.connections.open
    return connection


async def send_while_it_hangs(connection: socket.socket, data: bytes, seconds: float) -> None:
    """Send bytes, and have the loop hang then for some seconds.

    It does so while it looks at the sockets that it has found to be ready. So it comes to its timers before that one.
    """
    loop, ran_again = asyncio.get_running_loop(), asyncio.Event()
    ready, other = socket.socketpair()
    with ready, other:

        def hang() -> None:
            loop.remove_reader(ready)
            connection.sendall(data)
            time.sleep(seconds)
            ran_again.set()

        loop.add_reader(ready, hang)
        other.send(b"x")
        await ran_again.wait()


async def connected(loopback: LoopbackServer) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", loopback.port))
    connection.settimeout(0)
    await until(lambda: len(loopback.front.connections.open) == 1)
    return connection


async def answer_on(connection: socket.socket) -> bytes:
    """Return an answer, which arrives in one piece; nothing if the connection is closed."""
    try:
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(connection, 65536), PATIENCE)
    except ConnectionError:
        return b""


def test_a_request_that_arrived_while_the_server_did_not_run_is_answered(direct: DirectClient) -> None:
    async def scenario(loopback: LoopbackServer) -> None:
        request = loopback.request("GenerateRandom", NumberOfBytes=8)
        with await connected(loopback) as connection:
            connection.sendall(request[:-1])
            await until(lambda: not the_connection(loopback)._between)
            await send_while_it_hangs(connection, request[-1:], 3 * REQUEST)
            assert (await answer_on(connection)).startswith(b"HTTP/1.1 200 ")

    run(direct, scenario, LIMITS)


def test_a_connection_whose_next_request_arrived_while_the_server_did_not_run_is_kept(direct: DirectClient) -> None:
    async def scenario(loopback: LoopbackServer) -> None:
        request = loopback.request("GenerateRandom", NumberOfBytes=8)
        with await connected(loopback) as connection:
            connection.sendall(request)
            assert (await answer_on(connection)).startswith(b"HTTP/1.1 200 ")
            await send_while_it_hangs(connection, request, 3 * IDLE)
            assert (await answer_on(connection)).startswith(b"HTTP/1.1 200 ")

    run(direct, scenario, LIMITS)


def test_a_request_that_is_read_before_the_first_sweep_after_a_hang_has_no_more_time_than_others(
    direct: DirectClient,
) -> None:
    async def scenario(loopback: LoopbackServer) -> None:
        connections = loopback.front.connections
        with await connected(loopback):
            connection = the_connection(loopback)
            time.sleep(5 * IDLE)  # noqa: ASYNC251 - the loop hangs
            ended = connections.time()
            connection.data_received(b"POST / HTTP/1.1\r\n")
            await until(lambda: connections._swept_at >= ended)
            assert connection.deadline <= connections.time() + IDLE

    run(direct, scenario, LIMITS)


def test_clients_that_are_too_slow_are_disconnected(direct: DirectClient) -> None:
    async def scenario(loopback: LoopbackServer) -> None:
        slow = [await loopback.connected() for _ in range(2)]
        slow[0][1].write(b"POST / HTTP/1.1\r\n")
        async with asyncio.timeout(30):
            for reader, writer in slow:
                assert await reader.read() == b""
                writer.close()

    run(direct, scenario, LIMITS)


def test_a_stop_waits_for_requests_in_work_also_after_the_server_did_not_run(direct: DirectClient) -> None:
    async def scenario(loopback: LoopbackServer) -> None:
        reader, writer = await loopback.connected()
        writer.write(loopback.request("CreateKey"))
        await until(lambda: len(loopback.front.connections.open) == 1 and the_connection(loopback).busy)
        stopping = asyncio.create_task(loopback.front.drain(2))
        await asyncio.sleep(0)
        # The loop hangs, and the thread that makes the key needs it to answer.
        time.sleep(2.5)  # noqa: ASYNC251
        assert await status_of(reader) == 200
        await stopping
        writer.close()

    run(direct, scenario, LIMITS)
