"""Listening sockets: one server claims a port, and its workers share it.

Workers bind sockets of their own with SO_REUSEPORT, so that the kernel spreads connections over them, and so that the
connections of a worker that ends end with it. Any process of the same user could join in that way. So a server claims
its port first. It listens on it alone for an instant, which of several servers only one can, and then holds it with a
socket that does not listen and keeps out all sockets but those with SO_REUSEPORT, which its workers have. Another
server tries without it first, and is refused.
"""

import socket
import time

_RETRY = 0.02


def claim_port(host: str, port: int, *, patience: float = 0.0) -> socket.socket:
    """Claim a port for this process and its workers, until the returned socket is closed. Port 0 takes a free one.

    Raises OSError if another process has it, after trying for ``patience`` seconds: the sockets of a process that was
    killed close a moment after its files.
    """
    end = time.monotonic() + patience
    while True:
        try:
            return _claim(host, port)
        except OSError:
            if time.monotonic() >= end:
                raise
            time.sleep(_RETRY)


def join_port(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to a port that was claimed, and does not listen yet; raises OSError."""
    listener = _socket_for(host)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _refusal(host, port, error) from None
    return listener


def _claim(host: str, port: int) -> socket.socket:
    with _socket_for(host) as alone:
        try:
            alone.bind((host, port))
            # Sockets that do not listen yet may be bound to one port (SO_REUSEADDR). Only one of them may then listen.
            alone.listen(0)
        except OSError as error:
            raise _refusal(host, port, error) from None
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder = join_port(host, alone.getsockname()[1])
        # Without it, a socket that has it and does not have SO_REUSEPORT cannot be bound beside this one. That must be
        # so before the other socket, which keeps them out until then, is closed.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return holder


def _socket_for(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def _refusal(host: str, port: int, error: OSError) -> OSError:
    shown = f"[{host}]" if ":" in host else host
    return OSError(error.errno, f"cannot listen on {shown}:{port}: {error.strerror}")
