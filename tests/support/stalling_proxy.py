"""A TCP proxy that can hold everything back for a while, as a network that loses all packets, or cut connections."""

import socket
import threading
from contextlib import suppress

from strongroom.descriptors import readable


class StallingProxy:
    """Forwards connections to a port of the loopback interface, on a thread."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._peers: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stall(self) -> None:
        """Forward nothing from now on. What is sent waits."""
        self._open.clear()

    def resume(self) -> None:
        """Forward again, also what has waited."""
        self._open.set()

    def cut(self) -> None:
        """Close all connections."""
        with self._lock:
            for each in list(self._peers):
                self._end(each)

    def close(self) -> None:
        """Close everything."""
        self._is_closed = True
        self._open.set()
        self._thread.join()
        self.cut()
        self._listener.close()

    def _run(self) -> None:
        while not self._is_closed:
            self._open.wait()
            with self._lock:
                sources = {each.fileno(): each for each in (self._listener, *self._peers)}
            ready = readable(sources, 0.02)
            with self._lock:
                for descriptor in ready if self._open.is_set() else ():
                    self._serve(sources[descriptor])

    def _serve(self, source: socket.socket) -> None:
        if source is self._listener:
            client, _ = self._listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                return
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[client], self._peers[server] = server, client
        elif source in self._peers:
            try:
                data = source.recv(65536)
                if data:
                    self._peers[source].sendall(data)
                    return
            except OSError:
                pass
            self._end(source)

    def _end(self, source: socket.socket) -> None:
        peer = self._peers.pop(source, None)
        if peer is not None:
            self._peers.pop(peer, None)
            for each in (source, peer):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
