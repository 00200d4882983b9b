"""Tells a service manager, such as systemd, how far this server is: the protocol of sd_notify(3).

The manager names a socket in ``NOTIFY_SOCKET``, and how often it wants to hear from the process in ``WATCHDOG_USEC``.
Each message is one datagram of lines ``NAME=VALUE``. Container engines speak the same protocol, so nothing here needs
systemd.
"""

import logging
import socket
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress

logger = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds that a message about a state may wait for a manager that is busy."""
_MICROSECONDS = 1_000_000


class ServiceManager:
    """The manager that started this process, or none: then every message is dropped.

    ``address`` is the path of a Unix socket; one that begins with ``@`` is in the abstract namespace. ``watched`` is
    whether the manager ends a process that it does not hear from. ``monotonic`` counts seconds as CLOCK_MONOTONIC does.
    A message that cannot be delivered is no reason not to serve: the first such failure is logged.
    """

    def __init__(
        self, address: str = "", *, watched: bool = False, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watched = watched
        self._monotonic = monotonic
        self._status = ""
        self._failed = False

    @classmethod
    def of(cls, variables: MutableMapping[str, str], process: int) -> "ServiceManager":
        """Return the manager that the variables of process ``process`` name.

        The variables are taken out, so that no process that this one starts sends messages in its place.
        """
        address = variables.pop("NOTIFY_SOCKET", "")
        watched = variables.pop("WATCHDOG_USEC", "")
        watched_process = variables.pop("WATCHDOG_PID", "") or str(process)
        if address and not address.startswith(("/", "@")):
            logger.warning("NOTIFY_SOCKET is no path of a Unix socket, and has no effect: %a", address)
            address = ""
        return cls(address, watched=bool(watched) and watched_process == str(process))

    def ready(self, status: str = "") -> None:
        """Say that the server answers calls: after the start, and after each time that it was reloading.

        ``status`` is a line for the people who ask the manager; without one, the last one holds again.
        """
        self._status = status or self._status
        self._tell("READY=1", f"STATUS={self._status}")

    def reloading(self) -> None:
        """Say that settings are read anew. ``ready`` ends that."""
        self._tell(
            "RELOADING=1", f"MONOTONIC_USEC={int(self._monotonic() * _MICROSECONDS)}", "STATUS=reads its settings anew"
        )

    def stopping(self) -> None:
        """Say that the server stops."""
        self._tell("STOPPING=1", "STATUS=finishes the requests in progress")

    def alive(self) -> None:
        """Say that the process lives, if the manager wants to know. Never waits."""
        if self._watched:
            # One that is lost because the manager is busy is followed by others.
            with suppress(BlockingIOError):
                self._tell("WATCHDOG=1", patience=0.0)

    def _tell(self, *lines: str, patience: float = _PATIENCE) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(patience)
                sender.sendto("\n".join(lines).encode(), self._address)
        except BlockingIOError:
            raise
        except OSError as error:
            if not self._failed:
                self._failed = True
                logger.warning("the service manager cannot be told what this server does (NOTIFY_SOCKET): %s", error)
