"""An HTTP proxy that opens tunnels (CONNECT), for programs that have no setting for an endpoint.

It stands for the names that such a program is given in ``/etc/hosts``, which all tests of a machine share.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from typing_extensions import override

from local_server import RunningServer
from threaded_server import ThreadedServer

_CHUNK = 1 << 16
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


class ConnectProxy(ThreadedServer):
    """What asks it for port 443 of any of the ``names`` gets the port ``target`` of the loopback interface."""

    def __init__(self, names: frozenset[str], target: int) -> None:
        self._allowed = {f"{name}:443" for name in names}
        self._target = target
        self.asked_for: list[str] = []
        """Every ``HOST:PORT`` that was asked for."""
        super().__init__("connect-proxy")

    @property
    def url(self) -> str:
        """The value of ``HTTPS_PROXY``."""
        return f"http://127.0.0.1:{self.port}"

    @override
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, EOFError):
                head = await reader.readuntil(b"\r\n\r\n")
                method, name, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
                self.asked_for.append(name)
                if method != "CONNECT" or name not in self._allowed:
                    writer.write(_REFUSED)
                    return
                await self._tunnel(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            writer.write(_ESTABLISHED)
            await asyncio.gather(_copy(reader, server_writer), _copy(server_reader, writer))
        finally:
            server_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forward what one side sends until it ends; then the other side need not send anything more, either."""
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextmanager
def tunnels_to(server: RunningServer, *names: str) -> Iterator[ConnectProxy]:
    """Run a proxy that leads to a server under these names of hosts."""
    proxy = ConnectProxy(frozenset(names), urlsplit(server.endpoint).port or 443)
    try:
        yield proxy
    finally:
        proxy.close()
