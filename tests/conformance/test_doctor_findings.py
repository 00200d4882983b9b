"""``strongroom doctor``: each check is made to fail, on copies of one data folder; the others go on."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from campaign import seeded
from examinations import EXIT_CODES, Prepared, change, clock_set, content_of, copied, examine, flip, prepare
from strongroom.assembly.doctor.table import CHECKS
from strongroom.crypto.seals.file import create_root_key
from strongroom.entropy import system_entropy

NAMES = [check.name for check in CHECKS]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("doctor"))


def newest_segment(data: Path) -> Path:
    return max((data / "audit").glob("*w?-*.jsonl"), key=lambda path: path.stat().st_size)


def another_root_key(data: Path) -> None:
    (data / "root.key").unlink()
    create_root_key(data / "root.key", system_entropy)


def damaged_page(data: Path) -> None:
    path = data / "strongroom.db"
    content = bytearray(path.read_bytes())
    content[-4096 * 4 : -4096 * 3] = seeded(3).randbytes(4096)
    path.write_bytes(content)


def large_log(data: Path) -> None:
    with (data / "strongroom.db-wal").open("wb") as file:
        file.truncate(300 << 20)


def no_records_of_commands(data: Path) -> None:
    for path in (data / "audit").glob("*cli-*"):
        path.unlink()


def other_secret(data: Path) -> None:
    text = (data / "credentials").read_text()
    (data / "credentials").write_text(re.sub(r"(secret_access_key = ....)(.)", r"\1/", text))


def folder_of_credentials(data: Path) -> None:
    (data / "credentials").unlink()
    (data / "credentials").mkdir(mode=0o700)


@dataclass(frozen=True)
class Case:
    """How to make one check fail, and what it must say."""

    check: str
    status: str
    act: Callable[[Path], object]
    text: str
    remedy: str


CASES = {
    "others can write the folder": Case(
        "folder", "critical", lambda data: data.chmod(0o777), "can be written by others", "run: chmod go-w"
    ),
    "others can look into the folder": Case(
        "folder", "warning", lambda data: data.chmod(0o755), "all users can look into", "run: chmod o-rwx"
    ),
    "others can read the credentials": Case(
        "folder", "warning", lambda data: (data / "credentials").chmod(0o644), "can be read by others", "chmod 600"
    ),
    "the identity of the node is missing": Case(
        "folder", "critical", lambda data: (data / "node-id").unlink(), "node-id` is missing", "a start of the server"
    ),
    "a page is damaged": Case("database", "critical", damaged_page, "strongroom.db` is damaged", "restore a backup"),
    "the database is missing": Case(
        "database", "critical", lambda data: (data / "strongroom.db").unlink(), "is missing", "Restore the database"
    ),
    "the database is empty": Case(
        "database", "critical", lambda data: os.truncate(data / "strongroom.db", 0), "is empty", "Restore the database"
    ),
    "a newer release wrote the database": Case(
        "schema",
        "critical",
        lambda data: change(data, "UPDATE alembic_version SET version_num = '9999'"),
        "the database has schema 9999",
        "use the release that wrote it",
    ),
    "another root key": Case(
        "root-key", "critical", another_root_key, "is not the root key of", "restore the file that belongs to it"
    ),
    "others can read the root key": Case(
        "root-key", "critical", lambda data: (data / "root.key").chmod(0o644), "can be read by others", "chmod 600"
    ),
    "no root key": Case(
        "root-key", "critical", lambda data: (data / "root.key").unlink(), "root.key` is missing", "Restore it"
    ),
    "a domain key was changed": Case(
        "root-key",
        "critical",
        lambda data: change(data, "UPDATE domain_key SET sealed = zeroblob(60) WHERE scope = 'us-east-1'"),
        "domain key 1 of `us-east-1` does not open",
        "restore a backup",
    ),
    "the audit key was changed": Case(
        "root-key",
        "critical",
        lambda data: change(data, "UPDATE audit_key SET wrapped_secret = zeroblob(60)"),
        "the key of the audit log does not open",
        "restore a backup",
    ),
    "a policy was changed": Case(
        "records",
        "critical",
        lambda data: change(data, "UPDATE kms_key SET policy = '{}' WHERE rowid = 1"),
        "its stored record failed authentication",
        "who changed the database",
    ),
    "a material was changed": Case(
        "records", "critical", lambda data: change(data, "UPDATE key_material SET token = x'00'"), "key material", "who"
    ),
    "the write-ahead log is large": Case(
        "write-ahead-log", "warning", large_log, "has 300.0 MiB", "end the process that keeps a read open"
    ),
    "a line of the audit log was changed": Case(
        "audit-log",
        "critical",
        lambda data: flip(newest_segment(data), 1000),
        "altered",
        "strongroom audit verify",
    ),
    "the audit log is missing": Case(
        "audit-log",
        "critical",
        lambda data: shutil.rmtree(data / "audit"),
        "audit` is missing",
        "restore the audit log",
    ),
    "a checkpoint is damaged": Case(
        "audit-writers",
        "critical",
        lambda data: change(data, "UPDATE audit_checkpoint SET statement = x'00'"),
        "the checkpoint of audit writer",
        "restore a backup",
    ),
    "no backup": Case(
        "backup",
        "warning",
        no_records_of_commands,
        "no backup was made",
        "strongroom backup --to",
    ),
    "the clock was set": Case("clock", "warning", clock_set, "31.0 days ahead", "strongroom clock status"),
    "what is known of the time is missing": Case(
        "clock", "warning", lambda data: (data / "clock").unlink(), "clock` is missing or damaged", "start a server"
    ),
    "a secret is not the one in the database": Case(
        "credentials", "warning", other_secret, "has another secret", "strongroom account root-key 000000000000"
    ),
    "the credentials are a folder": Case(
        "credentials", "warning", folder_of_credentials, "it is not a regular file", "move it away"
    ),
    "the credentials cannot be read": Case(
        "credentials", "warning", lambda data: (data / "credentials").write_text("[[["), "credentials`", "move it away"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_check_fails_for_its_reason_and_nothing_is_changed(prepared: Prepared, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    data = copied(prepared.data, tmp_path)
    case.act(data)
    before = content_of(data)
    found = examine(data)
    assert found.status(case.check) == case.status, found.document
    text, _, remedy = found.told(case.check).partition(" | ")
    assert case.text in text
    assert case.remedy in remedy
    assert remedy
    assert found.document["status"] == case.status or case.status == "warning"
    assert found.exit_code == EXIT_CODES[found.document["status"]]
    assert [each["check"] for each in found.document["checks"]] == NAMES
    after = content_of(data)
    # SQLite's shared memory is made if there is a write-ahead log. It is no state.
    after.pop(str(data / "strongroom.db-shm"), None)
    assert after == before
