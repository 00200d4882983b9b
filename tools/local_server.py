"""Starts a Strongroom server on a free loopback port and reads from its output how to reach it.

``local_server.py COMMAND...`` runs a command against one that is started for it, in a folder that is then removed.
"""

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

STOPPING = 120
"""Seconds that a stop may take, on a busy machine."""


class Process(Protocol):
    """What a process can be asked for; see ``subprocess.Popen``."""

    pid: int

    def wait(self, timeout: float | None = None) -> int: ...

    def kill(self) -> None: ...

    def terminate(self) -> None: ...

    def send_signal(self, sig: int) -> None: ...


class RunningServer:
    """A server process; ``environment`` points AWS clients at it, and ``STRONGROOM_METRICS`` at its metrics."""

    def __init__(self, process: Process, environment: dict[str, str]) -> None:
        self.process = process
        self.environment = environment

    @property
    def endpoint(self) -> str:
        return self.environment["AWS_ENDPOINT_URL_KMS"]

    def stop(self) -> int:
        """Ask the server to stop (SIGTERM) and return its exit code."""
        self.process.terminate()
        return self.process.wait(STOPPING)


@contextmanager
def running_server(
    data: Path,
    log: Path,
    *options: str,
    launcher: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[RunningServer]:
    """Run ``strongroom serve`` over a data folder; its log goes to a file. ``environment`` is added to ours.

    ``launcher`` is a command that runs the command it is given, in the same process, such as setpriv(1).
    """
    command = [
        *launcher,
        sys.executable,
        "-m",
        "strongroom",
        "serve",
        "--data",
        str(data),
        "--listen",
        "127.0.0.1:0",
        *options,
    ]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **(environment or {})}
        ) as process,
    ):
        try:
            yield RunningServer(process, environment_of(process.stdout or ()))
        finally:
            if process.poll() is None:
                process.kill()
                _wait_for_orphans(data)


def _wait_for_orphans(data: Path) -> None:
    """Wait until the workers of a killed server, which are killed with it, have ended and left its folder."""
    end = time.monotonic() + STOPPING
    with suppress(FileNotFoundError):
        folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            while time.monotonic() < end:
                with suppress(BlockingIOError):
                    fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    return
                time.sleep(0.01)
        finally:
            os.close(folder)


def environment_of(output: Iterable[str]) -> dict[str, str]:
    """Return the environment of a shell that has read the file that the output of a server names."""
    metrics: dict[str, str] = {}
    for line in output:
        if line.startswith("Metrics are at "):
            metrics["STRONGROOM_METRICS"] = line.split()[-1]
        if line.startswith(". "):
            done = subprocess.run(["/bin/sh", "-c", f"{line}env -0"], check=True, stdout=subprocess.PIPE, text=True)
            return dict(pair.split("=", 1) for pair in done.stdout.split("\0") if pair) | metrics
    raise SystemExit("the server did not start; see its log")


def main() -> None:
    """Run the command with ``aws`` and ``strongroom`` on its PATH; exit with its code."""
    with tempfile.TemporaryDirectory(prefix="strongroom-demo-") as scratch:
        folder = Path(scratch)
        with running_server(folder / "data", folder / "server.log") as server:
            done = subprocess.run(sys.argv[1:], env=server.environment, check=False)
            stopped = server.stop()
    sys.exit(done.returncode or stopped)


if __name__ == "__main__":
    main()
