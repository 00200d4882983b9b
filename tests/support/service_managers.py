"""What systemd does for a service of `Type=notify`: a socket where the messages of a server arrive (sd_notify(3))."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 120


class Listener:
    """The socket of a service manager; ``path`` is what it would put into NOTIFY_SOCKET."""

    def __init__(self, receiver: socket.socket, path: str) -> None:
        self.path = path
        self._receiver = receiver

    def next(self) -> dict[str, str]:
        """Return the next message as names and values; raises TimeoutError after half a minute without one."""
        lines = self._receiver.recv(4096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def next_but_watchdog(self) -> dict[str, str]:
        """Return the next message that says more than that the process lives."""
        while (message := self.next()) == {"WATCHDOG": "1"}:
            pass
        return message


@contextmanager
def listening(path: Path | str) -> Iterator[Listener]:
    """Listen at a path, or at a name in the abstract namespace if it begins with `@`."""
    address = str(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + address[1:] if address.startswith("@") else address)
        receiver.settimeout(PATIENCE)
        yield Listener(receiver, address)
