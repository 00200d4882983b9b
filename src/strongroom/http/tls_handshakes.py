"""Connections whose TLS handshake is not over: the front hears of each only after it, but they take their room before.

A listener accepts as long as there is room. uvloop would go on, and hold whoever connects and says nothing.
"""

from collections.abc import Callable
from weakref import WeakSet

from strongroom.http.connection import Connection


class Handshakes:
    """Counts them beside ``open_connections``, and calls ``crowded`` when there are ``most`` of both or more.

    Nobody is told when a handshake fails: its connection is then let go of, and counted no longer.
    """

    def __init__(self, most: int, open_connections: Callable[[], int]) -> None:
        self.crowded: Callable[[], object] = lambda: None
        self._most = most
        self._open_connections = open_connections
        self._unfinished: WeakSet[Connection] = WeakSet()

    def begun(self, connection: Connection) -> Connection:
        """Note a connection that was accepted."""
        self._unfinished.add(connection)
        if not self.has_room():
            self.crowded()
        return connection

    def over(self, connection: Connection) -> None:
        """Forget a connection whose handshake has succeeded, or that needed none."""
        self._unfinished.discard(connection)

    def has_room(self) -> bool:
        """Tell whether one more connection may be accepted: always if no handshake keeps it from being turned away."""
        unfinished = len(self._unfinished)
        return not unfinished or unfinished + self._open_connections() < self._most
