"""A load balancer before several servers: each request of a connection goes to the next server.

A connection on which a client sends anything but whole requests, one after the other, stays with one server from then
on, so that a test can send what it likes.
"""

import asyncio
import itertools
import re
from collections.abc import Sequence
from contextlib import suppress

from typing_extensions import override

from threaded_server import ThreadedServer

_CHUNK = 1 << 16
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_START = re.compile(rb"[A-Z]+ [^ \r\n]+ HTTP/1\.1\r\n")


class RequestBalancer(ThreadedServer):
    """Listens for servers on other ports of the loopback interface.

    ``patience`` is for how many seconds the rest of a request is waited for.
    """

    def __init__(self, ports: Sequence[int], patience: float = 0.2) -> None:
        self._ports = itertools.cycle(ports)
        self._patience = patience
        super().__init__("balancer")

    @override
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(reader, writer, self._patience)
        try:
            with suppress(OSError, EOFError):
                await connection.serve(self._ports)
        except asyncio.CancelledError:
            pass
        finally:
            connection.close()


class _Connection:
    """One connection of a client, and those to servers that it has used."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: float) -> None:
        self._patience = patience
        self._reader = reader
        self._writer = writer
        self._servers: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def serve(self, ports: "itertools.cycle[int]") -> None:
        """Forward until one of the two ends the connection."""
        while True:
            received = await self._reader.read(_CHUNK)
            if not received:
                return None
            received = await self._whole(received)
            port = next(ports)
            if not _is_one_request(received):
                return await self._tunnel(port, received)
            answer, is_last = await self._exchange(port, received)
            self._writer.write(answer)
            await self._writer.drain()
            if is_last:
                return None

    def close(self) -> None:
        """Close all."""
        for _, writer in self._servers.values():
            writer.close()
        self._writer.close()

    async def _whole(self, received: bytes) -> bytes:
        """Read on while what was received may be the beginning of one request, and more is there."""
        while _may_become_one(received):
            try:
                more = await asyncio.wait_for(self._reader.read(_CHUNK), self._patience)
            except TimeoutError:
                return received
            if not more:
                return received
            received += more
        return received

    async def _server(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if port not in self._servers:
            self._servers[port] = await asyncio.open_connection("127.0.0.1", port)
        return self._servers[port]

    async def _exchange(self, port: int, request: bytes) -> tuple[bytes, bool]:
        """Send a request; return the answer, and whether the server closes the connection after it."""
        reader, writer = await self._server(port)
        if reader.at_eof():
            # It was idle for too long.
            del self._servers[port]
            writer.close()
            reader, writer = await self._server(port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        has_body = length is not None and not request.startswith(b"HEAD ")
        body = await reader.readexactly(int(length[1])) if length is not None and has_body else b""
        return head + body, b"\r\nconnection: close" in head.lower()

    async def _tunnel(self, port: int, received: bytes) -> None:
        """Forward both ways from now on, whatever it is."""
        reader, writer = await self._server(port)
        writer.write(received)
        both = [asyncio.ensure_future(_copy(self._reader, writer)), asyncio.ensure_future(_copy(reader, self._writer))]
        try:
            await both[1]
        finally:
            for each in both:
                each.cancel()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        with suppress(OSError):
            writer.write_eof()


def _is_one_request(received: bytes) -> bool:
    """Tell whether this is a whole request with a length, and nothing else."""
    return _missing(received) == 0


def _may_become_one(received: bytes) -> bool:
    missing = _missing(received)
    return missing is not None and missing > 0


def _missing(received: bytes) -> int | None:
    """Return how many bytes are missing to a whole request, at least; None if it is anything else."""
    if not _START.match(received):
        return None
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return 1
    lowered = head.lower() + b"\r\n"
    if b"\r\nexpect:" in lowered or b"\r\ntransfer-encoding:" in lowered or b"\r\nupgrade:" in lowered:
        return None
    length = _LENGTH.search(lowered)
    missing = (int(length[1]) if length else 0) - len(body)
    return missing if missing >= 0 else None
