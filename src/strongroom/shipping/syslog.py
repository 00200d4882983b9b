"""Ships to a syslog server over TLS, a message for each line.

Messages have the format of RFC 5424 and are framed by their length in octets (RFC 5425, 4.3). Syslog has no
acknowledgement. Lines count as taken when the server's kernel has acknowledged their bytes (tcp(7), ``SIOCOUTQ``), so a
connection that breaks loses none that were on the way; they may come twice. What the server has received and not
stored when it ends is lost, and this is not told.
"""

import fcntl
import re
import socket
import ssl
import struct
import termios
from collections.abc import Callable
from contextlib import suppress

from strongroom.descriptors import readable
from strongroom.shipping.destination import DestinationError
from strongroom.store.audit.segment_source import Piece

_PRIORITY = 13 * 8 + 6
"""Facility "log audit", severity "informational" (RFC 5424, 6.2.1)."""
_TIME = re.compile(rb'"(?:eventTime|time)":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"')
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")
_TIMEOUT = 20.0
"""How many seconds a connection may take, and a server that reads nothing."""
_LOOK = 0.005
_BATCH = 128 * 1024


class SyslogDestination:
    """One server. ``timer`` returns monotonic seconds, and ``pause`` waits for some."""

    takes_whole_segments = False

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext,
        own_name: str,
        timer: Callable[[], float],
        pause: Callable[[float], object],
    ) -> None:
        self._host = host
        self._port = port
        self._context = context
        self._own_name = (_NOT_PRINTABLE.sub("", own_name)[:255] or "-").encode()
        self._timer = timer
        self._pause = pause
        self._connection: ssl.SSLSocket | None = None

    def prepare(self, *, shipped_before: bool) -> None:  # noqa: ARG002 - a server is known by its certificate
        """Connect, if there is no connection; raises DestinationError."""
        if self._connection is not None:
            return
        try:
            plain = socket.create_connection((self._host, self._port), timeout=_TIMEOUT)
            try:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                self._connection = self._context.wrap_socket(plain, server_hostname=self._host)
            except BaseException:
                plain.close()
                raise
        except ssl.SSLCertVerificationError as error:
            raise DestinationError(
                f"the certificate of {self._named} is not accepted: {error.verify_message}; see `ca` in `audit-ship`"
            ) from None
        except UnicodeError:
            raise DestinationError(f"{self._named} cannot be connected to: it is no name of a host") from None
        except OSError as error:
            raise DestinationError(f"{self._named} cannot be connected to: {_reason(error)}") from None

    def take(self, piece: Piece) -> None:
        """Send the lines, and wait until the server's kernel has them; raises DestinationError."""
        connection = self._connection
        assert connection is not None  # noqa: S101 - for the type checker; ``prepare`` was called
        try:
            frames = bytearray()
            for line in piece.data.splitlines():
                frames += self._frame(piece.writer.encode(), line)
                if len(frames) >= _BATCH:
                    self._send(connection, frames)
                    frames.clear()
            self._send(connection, frames)
            self._await_acknowledgement(connection)
        except OSError as error:
            self.close()
            raise DestinationError(f"the connection to {self._named} has failed: {_reason(error)}") from None

    def size_of(self, segment: str) -> int | None:  # noqa: ARG002 - a server does not tell
        """Return None: a server does not tell what it has."""
        return None

    def cut(self, segment: str, size: int) -> None:
        """Do nothing: what was sent cannot be taken back, and is what the node has lost."""

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.close()
            self._connection = None

    @property
    def _named(self) -> str:
        return f"{self._host}:{self._port}"

    def _frame(self, writer: bytes, line: bytes) -> bytes:
        found = _TIME.search(line)
        time = b"-" if found is None else found[1]
        message = b"<%d>1 %b %b strongroom %b audit - %b" % (_PRIORITY, time, self._own_name, writer, line)
        return b"%d %b" % (len(message), message)

    def _send(self, connection: ssl.SSLSocket, frames: bytes | bytearray) -> None:
        """Send bytes; raises OSError, also when the server has closed the connection."""
        if not frames:
            return
        # What is sent after the server has stopped would be lost.
        _require_open(connection)
        connection.settimeout(_TIMEOUT)
        connection.sendall(frames)

    def _await_acknowledgement(self, connection: ssl.SSLSocket) -> None:
        """Wait until nothing is left in the kernel's queue of what was sent; raises TimeoutError."""
        end = self._timer() + _TIMEOUT
        while _unacknowledged(connection):
            if self._timer() > end:
                raise TimeoutError(f"it has taken nothing for {_TIMEOUT:.0f} seconds")
            self._pause(_LOOK)
        # A server that has stopped meanwhile may not have read what its kernel had.
        _require_open(connection)


def _require_open(connection: ssl.SSLSocket) -> None:
    """Raise OSError if the server has closed the connection: a server that stops says so."""
    if not readable([connection.fileno()], 0):
        return
    connection.settimeout(0)
    try:
        if connection.recv(4096) == b"":
            raise ConnectionResetError("the server has closed it")
    except (ssl.SSLWantReadError, BlockingIOError):
        pass  # a message of TLS itself, such as a session ticket


def _unacknowledged(connection: socket.socket) -> int:
    """Return how many bytes the other side has not acknowledged (tcp(7), ``SIOCOUTQ``, which is ``TIOCOUTQ``)."""
    found: tuple[int] = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4))
    return found[0]


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    if isinstance(error, TimeoutError):
        return str(error) or "it does not answer"
    return error.strerror or str(error)
