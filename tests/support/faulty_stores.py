"""A server whose database has faults, and what it tells of them; small disks, and damage to the files."""

import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from clients import Raw, client_of, send
from local_server import RunningServer, running_server
from scrapes import scrape_until

PATIENCE = 120
_NOBODY = 65534
_PAGE = 4096


class FaultyStore:
    """A server of one worker, with metrics, over a data folder. Its log is in a file."""

    def __init__(self, server: RunningServer, data: Path, log: Path) -> None:
        self.server = server
        self.database = data / "strongroom.db"
        self.log_file = data / "strongroom.db-wal"
        self._log = log
        self.kms = client_of(server)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def key(self) -> str:
        """Return the id of a new key, which is cached now."""
        key_id = self.kms.create_key()["KeyMetadata"]["KeyId"]
        self.kms.encrypt(KeyId=key_id, Plaintext=b"x")
        return key_id

    def fails(self, call: Any, /, **arguments: Any) -> tuple[str, str]:
        """Make a call that must fail with HTTP status 500; return code and message."""
        with pytest.raises(ClientError) as caught:
            call(**arguments)
        answer = caught.value.response
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 500
        return answer["Error"]["Code"], answer["Error"]["Message"]

    def readiness(self) -> tuple[int, str]:
        answer = send(self.server, Raw("GET", "/readyz", {}, b""))
        return answer.status, answer.body.decode()

    def readiness_when(self, status: int, text: str) -> str:
        """Wait until ``/readyz`` has a status and a text in its body; return the body."""
        end = time.monotonic() + PATIENCE
        while (found := self.readiness())[0] != status or text not in found[1]:
            assert time.monotonic() < end, found
            time.sleep(0.2)
        return found[1]

    def faults(self, kind: str, least: int) -> None:
        """Wait until so many faults of a kind are counted."""
        scrape_until(self.server, lambda shown: shown.sum("strongroom_store_failures_total", kind=kind) >= least)

    def reported(self, text: str) -> int:
        """Count the lines of errors in the log that have a text."""
        return sum(text in line for line in self.log.splitlines() if " ERROR " in line)

    def said(self, text: str) -> None:
        """Wait until the log has a text."""
        end = time.monotonic() + PATIENCE
        while text not in self.log:
            assert time.monotonic() < end, self.log
            time.sleep(0.1)

    def assert_no_traceback(self) -> None:
        assert "Traceback" not in self.log
        assert "sqlalche.me" not in self.log

    def leave_room(self, size: int) -> None:
        """Let no file of the server's grow beyond a size."""
        _, most = resource.prlimit(self.server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.server.process.pid, resource.RLIMIT_FSIZE, (size, most))


@contextmanager
def faulty_store(data: Path, log: Path, *options: str, launcher: Sequence[str] = ()) -> Iterator[FaultyStore]:
    """Run a server over a data folder whose database a test is going to harm."""
    more = ("--metrics-listen", "127.0.0.1:0", *options)
    with running_server(data, log, *more, launcher=launcher) as server:
        yield FaultyStore(server, data, log)


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory at ``folder``, and yield it; skips the test where that is not permitted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a disk can be mounted by root alone; as root, this test runs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Write a file until the disk is full; return its path."""
    path = disk / "filling"
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(_PAGE)):
            pass
    assert os.statvfs(disk).f_bavail == 0
    return path


def use_up_inodes(disk: Path) -> None:
    """Make files until the disk has no inode left."""
    number = 0
    with suppress(OSError):
        while True:
            (disk / f"file-{number}").touch()
            number += 1
    assert os.statvfs(disk).f_favail == 0


@contextmanager
def other_user() -> Iterator[tuple[Path, Sequence[str]]]:
    """Yield a folder and a launcher for a server whose user has no right to everything, as root has."""
    with tempfile.TemporaryDirectory(prefix="strongroom-faults-") as name:
        folder = Path(name)
        if os.geteuid():
            yield folder, ()
            return
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("setpriv(1) is not installed; this test has to run as a user other than root")
        os.chown(folder, _NOBODY, _NOBODY)
        yield folder, (setpriv, f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")


def change(database: Path, statement: str, *values: object) -> None:
    """Change the database with a connection of its own, as sqlite3(1) does."""
    with closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection:
        connection.execute(statement, values)


def pages_of(database: Path, table: str) -> list[int]:
    """Return the numbers of the first pages of a table and its indexes."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = ?", (table,)).fetchall()
    return [int(page) for (page,) in found]


def empty_log(database: Path) -> None:
    """Move the write-ahead log into the database, so that all pages are read from there."""
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        end = time.monotonic() + PATIENCE
        while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            assert time.monotonic() < end
            time.sleep(0.05)


def zero_page(database: Path, number: int) -> None:
    """Overwrite a page, counted from 1, with zeros."""
    with database.open("r+b") as file:
        file.seek((number - 1) * _PAGE)
        file.write(bytes(_PAGE))


def zero_all(database: Path) -> None:
    """Overwrite the whole file with zeros, and leave its size."""
    with database.open("r+b") as file:
        file.write(bytes(database.stat().st_size))
