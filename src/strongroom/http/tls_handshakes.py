"""Connections whose TLS handshake is not finished. They count against the limit of connections, too.

uvloop reports a connection only after its handshake, and accepts any number before. So clients that connect and send
nothing could hold any number of them. A listener here accepts only as long as there is room.
"""

from collections.abc import Callable
from weakref import WeakSet

from strongroom.http.connection import Connection


class Handshakes:
    """Counts unfinished handshakes, and calls ``crowded`` when these and ``open_connections`` reach ``most``.

    A failed handshake is not reported here (``failed_handshakes`` counts them). Its connection is freed, and then no
    longer counted.
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
        """Tell whether another connection may be accepted.

        Without unfinished handshakes it may: it can still be refused.
        """
        unfinished = len(self._unfinished)
        return not unfinished or unfinished + self._open_connections() < self._most
