"""Tells workers which of their lines all required destinations have taken, over a socket in ``DATA/shipping``.

A worker writes the name of its writer, the segment that this writes now, and the number of its last line, ``WRITER
SEGMENT NUMBER``, each time that it waits for more. It is answered with the number of the last line of that segment that
was taken, when that has grown: then all lines before it were taken, too. Lines end with a newline.
"""

import os
import selectors
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from strongroom.audit.chain import parse_name
from strongroom.audit.writer_id import parse_writer
from strongroom.shipping.shipper import Shipper

_SOCKET = "workers"
_BACKLOG = 64
_MOST_WAITING = 4096
"""The most bytes of a request; a longer one is no worker's."""


class _Worker(msgspec.Struct):
    """A connection of a worker: what it has sent of its next request, and what it was told last."""

    socket: socket.socket
    received: bytearray = msgspec.field(default_factory=bytearray)
    writer: str = ""
    segment: str = ""
    wants: int = 0
    told: int = 0


class Acknowledgements:
    """The socket, and the connections of workers. Belongs to one thread but for ``note_progress``."""

    def __init__(self, folder: Path, shippers: Sequence[Shipper]) -> None:
        """Listen; raises OSError. ``shippers`` are those of the required destinations."""
        self._shippers = shippers
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._woken, selectors.EVENT_READ)
        folder.mkdir(mode=0o700, exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        with short_path(folder) as path:
            # A process that was killed has left its socket.
            Path(path).unlink(missing_ok=True)
            self._listener.bind(path)
            Path(path).chmod(0o600)
        self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)  # noqa: FBT003 - its only argument
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._workers: dict[int, _Worker] = {}

    def note_progress(self) -> None:
        """Have ``wait`` tell the workers what was taken. Any thread may call this."""
        with suppress(BlockingIOError):
            os.write(self._wake, b"\0")

    def register(self, descriptor: int) -> None:
        """Have ``wait`` return, too, when a file descriptor can be read."""
        self._selector.register(descriptor, selectors.EVENT_READ)

    def wait(self, seconds: float) -> Sequence[int]:
        """Serve workers for some seconds at most; return the registered descriptors that can be read now."""
        others = []
        for key, _ in self._selector.select(seconds):
            if key.fd == self._woken:
                with suppress(BlockingIOError):
                    os.read(self._woken, 4096)
            elif key.fd == self._listener.fileno():
                self._accept()
            elif key.fd in self._workers:
                self._receive(self._workers[key.fd])
            else:
                others.append(key.fd)
        for each in list(self._workers.values()):
            self._tell(each)
        return others

    def close(self) -> None:
        """Close all connections."""
        for each in list(self._workers.values()):
            self._drop(each)
        self._listener.close()
        self._selector.close()
        os.close(self._woken)
        os.close(self._wake)

    def _accept(self) -> None:
        with suppress(OSError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)  # noqa: FBT003 - its only argument
            self._workers[connection.fileno()] = _Worker(connection)
            self._selector.register(connection, selectors.EVENT_READ)

    def _receive(self, worker: _Worker) -> None:
        try:
            received = worker.socket.recv(_MOST_WAITING)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        worker.received += received
        *lines, rest = worker.received.split(b"\n")
        worker.received = rest
        if not received or len(rest) > _MOST_WAITING or (lines and not self._ask(worker, lines[-1])):
            self._drop(worker)

    def _ask(self, worker: _Worker, line: bytes | bytearray) -> bool:
        """Note what a worker waits for; tell whether it is a worker's request. It asks for more than any before it."""
        match line.decode(errors="replace").split(" "):
            case writer, segment, number if (
                parse_writer(writer) is not None
                and parse_name(segment) is not None
                and number.isascii()
                and number.isdecimal()
            ):
                worker.writer, worker.segment, worker.wants = writer, segment, int(number)
            case _:
                return False
        for each in self._shippers:
            each.want()
        return True

    def _tell(self, worker: _Worker) -> None:
        if worker.wants <= worker.told:
            return
        taken = self._taken_of(worker)
        if taken > worker.told:
            try:
                worker.socket.send(b"%d\n" % taken)
            except BlockingIOError:
                return  # It does not read. The next round tries again.
            except OSError:
                self._drop(worker)
                return
            worker.told = taken

    def _taken_of(self, worker: _Worker) -> int:
        return min((each.taken(worker.writer, worker.segment) for each in self._shippers), default=0)

    def _drop(self, worker: _Worker) -> None:
        self._workers.pop(worker.socket.fileno(), None)
        with suppress(KeyError, ValueError):
            self._selector.unregister(worker.socket)
        worker.socket.close()


def connect_to(folder: Path) -> socket.socket:
    """Return a connection of a worker, which does not block; raises OSError if nothing ships."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.setblocking(False)  # noqa: FBT003 - its only argument
        with short_path(folder) as path:
            connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


@contextmanager
def short_path(folder: Path) -> Iterator[str]:
    """Yield a path of the socket in a folder. An address has room for 107 bytes; a path may be longer."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{_SOCKET}"
    finally:
        os.close(descriptor)
