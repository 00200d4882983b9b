"""Connections beyond the limit of a worker: their first request is refused, or they are closed at once."""

from collections.abc import Callable

from strongroom.http.connection import Connection, Handler
from strongroom.http.message import HttpRequest

MOST_TURNED_AWAY = 64
"""The maximum number of such connections that may be open until their request is refused."""

Refuse = Callable[[Connection, str, str, dict[str, str]], None]
"""Refuses a request, by its method and path, without verifying its signature. It gets the headers read so far."""


class ExcessConnections:
    """Handles connections beyond the limit of a worker.

    ``refuse`` answers the one request of each. ``handler`` handles all other connections.
    """

    def __init__(self, handler: Handler, refuse: Refuse) -> None:
        self.held_bytes = handler.held_bytes
        self.connections: set[Connection] = set()
        self._handler = handler
        self._refuse = refuse

    def time(self) -> float:
        """Return the loop's time."""
        return self._handler.time()

    def timer(self) -> float:
        """Return seconds for durations."""
        return self._handler.timer()

    def opened(self, connection: Connection) -> Handler:
        """Let a connection send its request, or drop it if there are too many."""
        if len(self.connections) < MOST_TURNED_AWAY:
            self.connections.add(connection)
        else:
            connection.drop()
        return self

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)

    def handle(self, connection: Connection, request: HttpRequest) -> None:
        """Refuse a request; the connection ends with the answer."""
        connection.finish()
        self._refuse(connection, request.method, request.path, request.headers)

    def malformed(self, connection: Connection, _status: int, headers: dict[str, str]) -> None:
        """Refuse bytes that are no request in the same way."""
        self._refuse(connection, "", "", headers)
