"""Starts a server process on a free loopback port, and ends it with all it started."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STARTING = 15
STOPPING = 10


class Server:
    """A server that accepts connections on 127.0.0.1."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self.port = port


@contextmanager
def serving(command: list[str], log: Path) -> Iterator[Server]:
    """Run a command, ``PORT`` in it replaced by a free port, for as long as the block lasts."""
    port = _free_port()
    words = [word.replace("PORT", str(port)) for word in command]
    with (
        log.open("wb") as output,
        # A session of its own, so that the workers it starts can be ended with it, and nothing else.
        subprocess.Popen(words, stdout=output, stderr=output, start_new_session=True) as process,
    ):
        try:
            _wait_until_listening(process, port, log)
            yield Server(process.pid, port)
        finally:
            _end(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + STARTING
    while process.poll() is None and time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"`{process.args!r}` does not listen:\n{log.read_text(errors='replace')}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOPPING)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
