"""Accepts connections while there is room for them."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable

from strongroom.http.tls_handshakes import Handshakes

logger = logging.getLogger(__name__)

_CHECK = 1.0
_SOON = 0.05
"""The least time that a listener without room stays closed, in seconds."""
_QUIET = 60.0
"""Seconds between two warnings of the same kind."""


class Acceptor:
    """Accepts on a listener until told to stop. Lives on one event loop.

    libuv listens on a copy of the listener. The copy can be closed and opened again, while clients wait in the backlog
    of the listener itself. Closing is the only way to keep libuv from accepting. It is needed when there are no file
    descriptors left: accept(2) then fails again and again, which libuv does not report.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._server: asyncio.Server | None = None
        self._warned: dict[str, float] = {}
        self._stopped = False
        self._outdated = False
        self._news = asyncio.Event()

    def stop(self) -> None:
        """Stop accepting connections."""
        self._stopped = True
        self._news.set()

    def renew(self) -> None:
        """Have a new server made, for connections that are accepted from now on. Those that are open stay as they are.

        Clients that connect meanwhile wait in the backlog of the listener.
        """
        self._outdated = True
        self._news.set()

    async def run(
        self,
        listen: Callable[[socket.socket], Awaitable[asyncio.Server]],
        handshakes: Handshakes,
        ready: Callable[[], None],
    ) -> None:
        """Accept connections until ``stop``, then close the listener.

        Calls ``ready`` once it accepts. ``listen`` makes a server of a socket; ``handshakes`` tells whether there is
        room for another connection.
        """
        handshakes.crowded = self._news.set
        self._server = await listen(self._listener.dup())
        ready()
        while not self._stopped:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), _CHECK if handshakes.has_room() else _SOON)
            self._news.clear()
            if self._outdated:
                self._outdated = False
                self._close()
            if handshakes.has_room():
                await self._go_on(listen)
            else:
                self._pause("connections whose TLS handshakes are not over leave no room; accepting none")
        self._close()
        self._listener.close()

    async def _go_on(self, listen: Callable[[socket.socket], Awaitable[asyncio.Server]]) -> None:
        spare = _copy_of(self._listener)
        if spare is None:
            self._pause("no file descriptor is left for a connection; accepting none")
        elif self._server is None:
            self._server = await listen(spare)
        else:
            spare.close()

    def _pause(self, why: str) -> None:
        if self._server is None:
            return
        self._close()
        now = asyncio.get_running_loop().time()
        if now - self._warned.get(why, -_QUIET) >= _QUIET:
            self._warned[why] = now
            logger.warning(why)

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None


def _copy_of(listener: socket.socket) -> socket.socket | None:
    """Return a copy of a listener if that leaves a file descriptor for a connection, else None."""
    try:
        copy = listener.dup()
    except OSError:
        return None
    try:
        listener.dup().close()
    except OSError:
        copy.close()
        return None
    return copy
