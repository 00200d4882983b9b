"""Idle connections, each of which has made one call."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse

from load import PATIENCE, Request
from servers import Server


@contextmanager
def idle_connections(server: Server, request: Request, count: int) -> Iterator[list[socket.socket]]:
    """Hold so many connections open; both ends need as many file descriptors."""
    with ExitStack() as held:
        connections = []
        for _ in range(count):
            connection = held.enter_context(socket.create_connection(("127.0.0.1", server.port), PATIENCE))
            assert answered(connection, server, request)
            connections.append(connection)
        yield connections


def answered(connection: socket.socket, server: Server, request: Request) -> bool:
    """Tell whether a connection still answers a call."""
    connection.sendall(request.raw(f"127.0.0.1:{server.port}"))
    with HTTPResponse(connection) as reply:
        reply.begin()
        reply.read()
        return reply.status == 200
