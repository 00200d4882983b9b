"""Answers health checks while the server waits for a seal that is unavailable, and refuses all else.

A load balancer and an operator then see why nothing is served yet. No request is looked at beyond its first line.
"""

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from strongroom.http.listeners import join_port

logger = logging.getLogger(__name__)

_PATIENCE = 5.0
_MOST_HEAD = 16 * 1024
_MOST_CONNECTIONS = 64


class SealedListener:
    """Listens on a port that is claimed, on a thread of its own. ``reason`` can be set while it listens."""

    def __init__(self, reason: str, context: ssl.SSLContext | None) -> None:
        self.reason = reason
        self._context = context
        self._connections = 0

    @contextmanager
    def listening(self, host: str, port: int) -> Iterator[None]:
        """Answer until the block ends. Connections are accepted from its beginning on."""
        loop = asyncio.new_event_loop()
        started = threading.Event()
        with closing(join_port(host, port)) as listener:
            thread = threading.Thread(target=self._run, args=(loop, listener, started), name="sealed", daemon=True)
            thread.start()
            # A loop that is stopped before its server is made fails.
            started.wait()
            try:
                yield
            finally:
                loop.call_soon_threadsafe(loop.stop)
                thread.join()

    def _run(self, loop: asyncio.AbstractEventLoop, listener: socket.socket, started: threading.Event) -> None:
        with closing(loop):
            try:
                server = loop.run_until_complete(
                    asyncio.start_server(self._answer, sock=listener, ssl=self._context, limit=_MOST_HEAD)
                )
            finally:
                started.set()
            loop.run_forever()
            server.close()
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= _MOST_CONNECTIONS:
                with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError):
                    async with asyncio.timeout(_PATIENCE):
                        head = await reader.readuntil(b"\r\n\r\n")
                        writer.write(self._response(head))
                        await writer.drain()
        finally:
            self._connections -= 1
            writer.close()

    def _response(self, head: bytes) -> bytes:
        is_alive = head.startswith((b"GET /healthz ", b"HEAD /healthz "))
        status, text = ("200 OK", "ok") if is_alive else ("503 Service Unavailable", f"sealed: {self.reason}")
        body = f"{text}\n".encode(errors="replace")
        lines = (
            f"HTTP/1.1 {status}",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(body)}",
            "Retry-After: 5",
            "Connection: close",
        )
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head.startswith(b"HEAD") else body)
