"""Data folders for ``strongroom doctor`` to check, in order and damaged; runs it and reads what it prints."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from accounts import succeed
from clients import client_of
from local_server import running_server

EXIT_CODES = {"ok": 0, "warning": 1, "critical": 2, "unknown": 3}


class Examination(msgspec.Struct):
    """What a run has printed as JSON, and its exit code."""

    exit_code: int
    document: dict[str, Any]

    def status(self, check: str) -> str:
        """Return the status of a check."""
        return str(self._result(check)["status"])

    def told(self, check: str) -> str:
        """Return what a check says, with what to do."""
        found = self._result(check)
        return " | ".join([found["text"], *found["remedies"]])

    @property
    def wrong(self) -> dict[str, str]:
        """What every check says that is not in order."""
        return {each["check"]: each["text"] for each in self.document["checks"] if each["status"] != "ok"}

    def _result(self, check: str) -> dict[str, Any]:
        (found,) = [each for each in self.document["checks"] if each["check"] == check]
        return dict(found)


def run_doctor(data: Path | None, *options: str) -> subprocess.CompletedProcess[str]:
    """Run ``strongroom doctor``, which must not write anything on standard error."""
    named = () if data is None else ("--data", str(data))
    command = [sys.executable, "-m", "strongroom", "doctor", *options, *named]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert not done.stderr, done.stderr
    return done


def examine(data: Path | None, *options: str) -> Examination:
    """Run ``strongroom doctor --json``; return what it has found."""
    done = run_doctor(data, "--json", *options)
    return Examination(done.returncode, json.loads(done.stdout))


@dataclass(frozen=True)
class Prepared:
    """A folder that was stopped and is in order, a copy of it from before its last keys, and one that a kill left."""

    data: Path
    older: Path
    killed: Path


def prepare(folder: Path) -> Prepared:
    """Make the three folders."""
    found = Prepared(folder / "data", folder / "older", folder / "killed")
    with running_server(found.data, folder / "log", "--workers", "2") as server:
        client_of(server).create_key()
        assert server.stop() == 0
    shutil.copytree(found.data, found.older)
    small = {"STRONGROOM_AUDIT_SEGMENT_SIZE": "4096"}
    with running_server(found.data, folder / "log", "--workers", "2", environment=small) as server:
        kms = client_of(server)
        keys = [kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(3)]
        for key in keys * 4:
            kms.encrypt(KeyId=key, Plaintext=b"x")
        kms.schedule_key_deletion(KeyId=keys[0], PendingWindowInDays=7)
        (folder / "backups").mkdir()
        succeed(found.data, "backup", "--to", str(folder / "backups"), "--unencrypted")
        assert server.stop() == 0
    shutil.copytree(found.data, found.killed)
    with running_server(found.killed, folder / "log", "--workers", "2") as server:
        client_of(server).create_key()
        server.process.kill()
        server.process.wait(120)
    return found


def copied(folder: Path, to: Path) -> Path:
    """Copy a data folder."""
    return shutil.copytree(folder, to / "data")


def content_of(folder: Path) -> dict[str, tuple[float, str]]:
    """Return when each file was changed, and what is in it."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime, sha256(path.read_bytes()).hexdigest()) for path in files}


def change(data: Path, statement: str, *values: object) -> None:
    """Change rows, behind the back of any server."""
    with closing(sqlite3.connect(data / "strongroom.db")) as database, database:
        assert database.execute(statement, values).rowcount >= 1


def flip(path: Path, place: int) -> None:
    """Flip a bit of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def clock_set(data: Path) -> None:
    """Have a data folder know a time that is 31 days behind the clock."""
    known = json.loads((data / "clock").read_bytes())
    known["trusted"] -= 31 * 86400
    (data / "clock").write_text(json.dumps(known))
