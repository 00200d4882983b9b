"""Deadlines for what a connection is asked, which hold also if the server hangs.

The kernel of a server that is stopped goes on to acknowledge what it receives. So neither the server's own
``statement_timeout`` nor TCP's timeouts end the wait. Shutting the socket down does, at once, from another thread.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_NEVER: Final = float("inf")


class Deadlines:
    """A thread that shuts down the sockets of connections whose time is over. Safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._until: dict[int, float] = {}
        self._sockets: dict[int, socket.socket] = {}
        self._wakes_at = _NEVER
        self._is_closed = False
        self.cut = 0
        """How many connections were shut down."""
        self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
        self._thread.start()

    def register(self, descriptor: int) -> int:
        """Return a name for a connection, given the descriptor of its socket. Remove it when that is closed."""
        duplicate = socket.socket(fileno=os.dup(descriptor))
        with self._changed:
            name = duplicate.fileno()
            self._sockets[name] = duplicate
        return name

    def remove(self, name: int) -> None:
        """Forget a connection."""
        with self._changed:
            self._until.pop(name, None)
            self._sockets.pop(name).close()

    @contextmanager
    def within(self, name: int, seconds: float) -> Iterator[None]:
        """Shut the connection down if this block takes longer than so many seconds."""
        until = time.monotonic() + seconds
        with self._changed:
            self._until[name] = until
            # Most blocks end in time, so the thread sleeps on until a deadline that was set before.
            if until < self._wakes_at:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._until.pop(name, None)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _watch(self) -> None:
        with self._changed:
            while not self._is_closed:
                now = time.monotonic()
                for name in [name for name, until in self._until.items() if until <= now]:
                    del self._until[name]
                    self._shut(name)
                self._wakes_at = min(self._until.values(), default=_NEVER)
                self._changed.wait(None if self._wakes_at == _NEVER else self._wakes_at - now)

    def _shut(self, name: int) -> None:
        self.cut += 1
        try:
            self._sockets[name].shutdown(socket.SHUT_RDWR)
        except OSError:
            # The peer has closed it already.
            return
