"""A TCP proxy before PostgreSQL that fails at COMMIT, in one of the ways in which its outcome is unknown."""

import socket
import threading
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Self

_CHUNK = 65536
_PATIENCE = 60.0
_COMMIT = b"COMMIT\0"
"""The end of a message of the simple query protocol whose last statement is COMMIT."""


class AtCommit(Enum):
    """What becomes of the connection that sends the next COMMIT."""

    PASS = "pass"
    LOSE = "lose"
    """It is closed, and the COMMIT is lost."""
    LOSE_ANSWER = "lose answer"
    """The COMMIT is done; the connection is closed before the answer has come."""
    DELAY = "delay"
    """It is closed for the client. The server gets the COMMIT when ``deliver`` is called."""


class CommitProxy:
    """The proxy, on the port ``port`` of the loopback interface. ``at_commit`` is used once."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.at_commit = AtCommit.PASS
        self.done: list[AtCommit] = []
        """What has become of those that did not pass."""
        self._open: list[socket.socket] = []
        self._delayed: list[tuple[socket.socket, bytes]] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        # Closing alone would not wake the threads that wait for them.
        for each in [self._listener, *self._open]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def deliver(self) -> None:
        """Deliver what was delayed, and wait until the server has answered."""
        for server, data in self._delayed:
            server.settimeout(_PATIENCE)
            server.sendall(data)
            with suppress(OSError):
                server.recv(_CHUNK)
        self._delayed.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._open += [client, server]
                threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()
                threading.Thread(target=self._to_client, args=(server, client), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(_CHUNK):
                if data.endswith(_COMMIT) and self.at_commit is not AtCommit.PASS:
                    self._fail(client, server, data)
                    return
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _fail(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        how, self.at_commit = self.at_commit, AtCommit.PASS
        self.done.append(how)
        client.shutdown(socket.SHUT_RDWR)
        if how is AtCommit.LOSE_ANSWER:
            server.sendall(data)
        if how is AtCommit.DELAY:
            self._delayed.append((server, data))
        else:
            server.shutdown(socket.SHUT_WR)

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(_CHUNK):
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
