"""Ports for servers that cannot take any port, or have to come back to the same one.

They are not among those that the kernel gives to clients and to servers that take any port. So none of these can get
such a port between its choice and the start of its server. Each process begins at another place. Where the kernel gives
nearly all ports to clients, the last ones are taken nevertheless.
"""

import itertools
import os
import socket
from contextlib import suppress
from pathlib import Path

_FIRST = 10_240
"""Well-known servers have those below."""
_LEAST = 1000
_candidates = itertools.count(os.getpid() * 61)


def free_port(host: str = "127.0.0.1", *, together: int = 1) -> int:
    """Return a port of a loopback address that nothing listens on, and that this process was not given before.

    With ``together``, it is the first of several that follow each other.
    """
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if end - _FIRST < _LEAST:
        end = 1 << 16
    for _ in range(end - _FIRST):
        port = _FIRST + next(_candidates) * together % (end - _FIRST - together)
        with suppress(OSError):
            for each in range(port, port + together):
                _try(host, each)
            return port
    raise AssertionError("no port is free")


def _try(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.bind((host, port))
        listener.listen()
