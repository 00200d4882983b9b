"""`make bench-backup`: time, memory and size of a backup, and what it costs the calls of a server meanwhile.

A data folder is filled with keys in large transactions. Then a server runs on it, and a client measures the time of
single calls, one after the other, before and during backups. The commands are those of an operator.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import pyrage

from kms_calls import Kms, encoded
from load import ask
from local_server import running_server
from measure import machine
from servers import Server
from strongroom_server import endpoint
from tables import print_table
from worlds import add_keys, key_id

CALLS = 2000


class Spent(NamedTuple):
    """What a command took: seconds, seconds of CPU, megabytes of memory at most."""

    wall: float
    cpu: float
    memory: float


def run(*arguments: object) -> Spent:
    """Run a command of strongroom that must succeed."""
    command = [sys.executable, "-m", "strongroom", *map(str, arguments)]
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, command
    process.returncode = 0
    return Spent(time.monotonic() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def durations(server: Server, kms: Kms, operation: str, calls: int) -> Iterator[float]:
    """Yield how long each of some calls took, in milliseconds."""
    more = {"Encrypt": "Plaintext", "UpdateKeyDescription": "Description"}[operation]
    bodies = [{"KeyId": key_id(number % 100), more: encoded(b"%064d" % number)} for number in range(calls)]
    for request in kms.signed(operation, bodies):
        begun = time.perf_counter()
        assert ask(server, request).status == 200
        yield (time.perf_counter() - begun) * 1000


def during_backups(server: Server, kms: Kms, operation: str, backup: list[str], calls: int) -> list[float]:
    """Return how long the calls took that were made while backups ran, one after the other."""
    found: list[float] = []
    process = subprocess.Popen(backup, stdout=subprocess.DEVNULL)
    for duration in durations(server, kms, operation, calls):
        if process.poll() is not None:
            process = subprocess.Popen(backup, stdout=subprocess.DEVNULL)
        found.append(duration)
    process.wait()
    return found


def row(name: str, found: list[float]) -> list[str]:
    percentiles = quantiles(found, n=100)
    return [name, f"{median(found):.2f}", f"{percentiles[98]:.2f}", f"{max(found):.1f}"]


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--keys", type=int, default=100_000)
    keys: int = options.parse_args().keys
    identity = pyrage.x25519.Identity.generate()
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-") as scratch:
        folder = Path(scratch)
        data, made = folder / "data", folder / "backup"
        add_keys(data, keys)
        (folder / "identity").write_text(f"{identity}\n")
        recipient = ("--recipient", str(identity.to_public()))
        opening = ("--identity", folder / "identity", "--root-key", data / "root.key")
        spent = {
            "backup": run("backup", "--data", data, "--to", made, *recipient),
            "backup verify": run("backup", "verify", made, *opening),
            "restore": run("restore", made, *opening, "--without-audit-log", "--data", folder / "new"),
        }
        print(machine())
        sizes = [path.stat().st_size / 1e6 for path in (data / "strongroom.db", made)]
        print(f"{keys:,} keys: database {sizes[0]:.0f} MB, backup {sizes[1]:.0f} MB")
        print_table(
            ["", "seconds", "CPU seconds", "memory MB"],
            [[name, f"{each.wall:.1f}", f"{each.cpu:.1f}", f"{each.memory:.0f}"] for name, each in spent.items()],
        )
        (folder / "backups").mkdir()
        again = ["backup", "--data", str(data), "--to", str(folder / "backups"), "--keep", "1", *recipient]
        command = [sys.executable, "-m", "strongroom", *again]
        with running_server(data, folder / "log") as started:
            server, kms = endpoint(started)
            rows = []
            for operation in ("Encrypt", "UpdateKeyDescription"):
                list(durations(server, kms, operation, 200))
                rows.append(row(operation, list(durations(server, kms, operation, CALLS))))
                rows.append(row(f"{operation}, during backups", during_backups(server, kms, operation, command, CALLS)))
            assert started.stop() == 0
        print_table(["call", "p50 ms", "p99 ms", "longest ms"], rows)


if __name__ == "__main__":
    main()
