"""Listens for connections on one event loop, with TLS or without."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

from strongroom.http.timeouts import TLS_HANDSHAKE_TIMEOUT, TLS_SHUTDOWN_TIMEOUT
from strongroom.server.tls import Tls


def listening(
    loop: asyncio.AbstractEventLoop, connect: Callable[[], asyncio.BaseProtocol], tls: Tls, backlog: int
) -> Callable[[socket.socket], Awaitable[asyncio.Server]]:
    """Return what listens on a socket and calls ``connect`` for each connection, with the certificate of the moment.

    ``backlog`` is how many connections the kernel completes before they are accepted.
    """
    secure = tls.context is not None

    def listen(copy: socket.socket) -> Awaitable[asyncio.Server]:
        return loop.create_server(
            connect,
            sock=copy,
            ssl=tls.context,
            ssl_handshake_timeout=TLS_HANDSHAKE_TIMEOUT if secure else None,
            ssl_shutdown_timeout=TLS_SHUTDOWN_TIMEOUT if secure else None,
            backlog=backlog,
        )

    return listen
