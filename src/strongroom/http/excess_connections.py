"""Connections beyond those that a worker serves: each is told so once, or closed at once when there are too many."""

from collections.abc import Callable

from strongroom.http.connection import Connection, Handler
from strongroom.http.message import HttpRequest

MOST_TURNED_AWAY = 64
"""How many may wait to be told."""

Refuse = Callable[[Connection, str, dict[str, str]], None]
"""Answers the request for a path, with its headers as far as they were read, without looking at who sent it."""


class ExcessConnections:
    """Handles such connections beside those of ``front``; ``refuse`` answers the one request that each may make."""

    def __init__(self, front: Handler, refuse: Refuse) -> None:
        self.held_bytes = front.held_bytes
        self.connections: set[Connection] = set()
        self._front = front
        self._refuse = refuse

    def time(self) -> float:
        """Return the loop's time."""
        return self._front.time()

    def timer(self) -> float:
        """Return seconds for durations."""
        return self._front.timer()

    def opened(self, connection: Connection) -> Handler:
        """Let a connection wait to be told, or drop it."""
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
        self._refuse(connection, request.path, request.headers)

    def malformed(self, connection: Connection, _status: int, headers: dict[str, str]) -> None:
        """Refuse what is no request in the same way."""
        self._refuse(connection, "", headers)
