"""Strongroom as it is run: ``strongroom serve`` over a data folder of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from clients import credentials_of
from contender import Contender
from kms_calls import Kms, every_call
from local_server import RunningServer, running_server
from servers import Server


def can_fork() -> bool:
    """Tell whether this version serves from several processes."""
    command = [sys.executable, "-m", "strongroom", "serve", "--help"]
    return "--workers" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def endpoint(running: RunningServer) -> tuple[Server, Kms]:
    """Return a running server's process and address, and its KMS with the root's access key."""
    server = Server(running.process.pid, urlsplit(running.endpoint).port or 0)
    return server, Kms(running.endpoint, credentials_of(running))


def contender_name(durability: str, workers: int) -> str:
    return f"Strongroom, {workers} worker{'s' * (workers > 1)}, {durability}"


@contextmanager
def strongroom(folder: Path, durability: str, workers: int) -> Iterator[Contender]:
    """Run a server, and at the end check that it stops with exit code 0."""
    data = folder / f"{durability}-{workers}"
    options = ["--durability", durability, *(["--workers", str(workers)] if can_fork() else [])]
    with running_server(data, folder / f"{durability}-{workers}.log", *options) as running:
        server, kms = endpoint(running)
        yield Contender(contender_name(durability, workers), server, every_call(kms), lambda: audited(data))
        assert running.stop() == 0


def audited(data: Path) -> int:
    """Count the records of the audit log."""
    count = 0
    for path in (data / "audit").iterdir():
        with path.open("rb") as lines:
            count += sum(b'"eventID"' in line for line in lines)
    return count
