"""``strongroom doctor``: each check is made to fail, on copies of one data folder; the others go on."""

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from accounts import strongroom, succeed
from campaign import seeded
from clients import client_of, client_with, credentials_of
from damage import How, choose, inflict
from examinations import examine, run_doctor
from local_server import running_server
from strongroom.assembly.doctor.table import CHECKS
from strongroom.crypto.seals.file import create_root_key
from strongroom.entropy import system_entropy
from tls_files import self_signed

EXIT_CODES = {"ok": 0, "warning": 1, "critical": 2, "unknown": 3}
NAMES = [check.name for check in CHECKS]
SLOW = ["records", "audit-log"]


@dataclass(frozen=True)
class Prepared:
    """A folder that was stopped and is in order, a copy of it from before its last keys, and one that a kill left."""

    data: Path
    older: Path
    killed: Path


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("doctor")
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
        server.process.wait(10)
    return found


def copied(folder: Path, to: Path) -> Path:
    return shutil.copytree(folder, to / "data")


def content_of(folder: Path) -> dict[str, tuple[float, str]]:
    """Return when each file was changed, and what is in it."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime, sha256(path.read_bytes()).hexdigest()) for path in files}


def change(data: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(data / "strongroom.db")) as database, database:
        assert database.execute(statement, values).rowcount >= 1


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def newest_segment(data: Path) -> Path:
    return max((data / "audit").glob("*w?-*.jsonl"), key=lambda path: path.stat().st_size)


def another_root_key(data: Path) -> None:
    (data / "root.key").unlink()
    create_root_key(data / "root.key", system_entropy)


def older_database(data: Path, prepared: Prepared) -> None:
    shutil.copy2(prepared.older / "strongroom.db", data)


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


def clock_set(data: Path) -> None:
    known = json.loads((data / "clock").read_bytes())
    known["trusted"] -= 31 * 86400
    (data / "clock").write_text(json.dumps(known))


def other_secret(data: Path) -> None:
    text = (data / "credentials").read_text()
    (data / "credentials").write_text(re.sub(r"(secret_access_key = ....)(.)", r"\1/", text))


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
    "the credentials cannot be read": Case(
        "credentials", "warning", lambda data: (data / "credentials").write_text("[[["), "credentials`", ""
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


def test_a_folder_that_is_in_order(prepared: Prepared) -> None:
    before = content_of(prepared.data)
    found = examine(prepared.data)
    assert (found.exit_code, found.wrong) == (0, {})
    assert "the material of 4 keys opens" in found.told("records")
    assert "the last one was made 0.0 days ago" in found.told("backup")
    assert "1 will be deleted" in found.told("keys")
    assert content_of(prepared.data) == before


def test_what_a_kill_left_is_in_order_and_stays_as_it_is(prepared: Prepared, tmp_path: Path) -> None:
    data = copied(prepared.killed, tmp_path)
    before = content_of(data)
    found = examine(data)
    assert (found.exit_code, found.wrong) == (0, {})
    assert "the material of 5 keys opens" in found.told("records")
    after = content_of(data)
    assert after.keys() == before.keys()
    del before[str(data / "strongroom.db-shm")], after[str(data / "strongroom.db-shm")]
    assert after == before


def test_a_database_that_was_set_back(prepared: Prepared, tmp_path: Path) -> None:
    data = copied(prepared.data, tmp_path)
    older_database(data, prepared)
    found = examine(data)
    assert (found.status("set-back"), found.exit_code) == ("critical", 2)
    assert "acknowledged changes are missing" in found.told("set-back")
    assert "strongroom database accept-older" in found.told("set-back")


def test_checks_that_cannot_run_say_so(prepared: Prepared, tmp_path: Path) -> None:
    data = copied(prepared.data, tmp_path)
    (data / "root.key").unlink()
    found = examine(data)
    for check in ("records", "audit-log", "credentials"):
        assert (found.status(check), found.told(check)) == ("unknown", "not checked, because of what `root-key` says")
    for check in ("database", "set-back", "clock", "backup"):
        assert found.status(check) == "ok"


def test_an_unknown_outcome_has_an_exit_code_of_its_own(prepared: Prepared, tmp_path: Path) -> None:
    data = copied(prepared.data, tmp_path)
    other = copied(prepared.older, tmp_path / "other")
    # All that is wrong with it is that the notes of the audit log cannot be read.
    for path in (other / "audit").iterdir():
        path.unlink()
    assert examine(other, "--quick").exit_code == 3
    assert examine(data, "--quick").exit_code == 0


def test_settings(prepared: Prepared, tmp_path: Path) -> None:
    config = tmp_path / "strongroom.toml"
    config.write_text("regions = 7")
    found = examine(prepared.data, "--config", str(config))
    assert (found.status("settings"), found.exit_code) == ("critical", 2)
    assert found.told("regions") == found.told("certificate") == "not checked, because of what `settings` says"
    assert found.status("records") == "ok"
    # Then the data folder is not known, unless it is named.
    config.write_text('data = "elsewhere"\nregions = 7')
    found = examine(None, "--config", str(config))
    assert found.document["data"] is None
    assert {found.status(name) for name in NAMES} == {"critical", "unknown"}
    found = examine(prepared.data, "--config", str(tmp_path / "missing.toml"))
    assert "missing.toml` cannot be read" in found.told("settings")


def test_regions_that_are_not_served(prepared: Prepared, tmp_path: Path) -> None:
    config = tmp_path / "strongroom.toml"
    config.write_text('regions = ["eu-west-1"]')
    found = examine(prepared.data, "--config", str(config))
    assert found.exit_code == 1
    assert found.told("regions").startswith("us-east-1 has 4 keys and is not served | add the Region")


@pytest.mark.parametrize(
    ("days", "status", "text"),
    [(5, "warning", "expires in"), (300, "ok", "expires at")],
)
def test_the_certificate(prepared: Prepared, tmp_path: Path, days: int, status: str, text: str) -> None:
    pair = self_signed(tmp_path / "tls", "server", days=days)
    config = tmp_path / "strongroom.toml"
    config.write_text(f'tls-cert = "{pair.certificate}"\ntls-key = "{pair.key}"')
    found = examine(prepared.data, "--quick", "--config", str(config))
    assert (found.status("certificate"), found.exit_code) == (status, EXIT_CODES[status])
    assert text in found.told("certificate")
    pair.key.write_text("")
    assert examine(prepared.data, "--quick", "--config", str(config)).status("certificate") == "critical"


def test_the_age_of_the_last_backup(prepared: Prepared) -> None:
    found = examine(prepared.data, "--quick", "--backup-age", "0s")
    assert (found.exit_code, list(found.wrong)) == (1, ["backup"])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--backup-age", "soon"), "`soon` is no duration such as 36h or 7d"),
        (("--archive", "/missing"), "'/missing' does not exist"),
        (("--fast",), "No such option"),
    ],
)
def test_a_wrong_option_is_no_outcome_of_a_check(prepared: Prepared, options: tuple[str, ...], text: str) -> None:
    refused = strongroom(prepared.data, "doctor", *options)
    assert refused.returncode == 3
    assert text in refused.stderr
    assert "Traceback" not in refused.stderr


def test_archives_are_verified_too(prepared: Prepared, tmp_path: Path) -> None:
    data, archive = copied(prepared.data, tmp_path), tmp_path / "archive"
    succeed(data, "audit", "archive", "--to", str(archive))
    assert "archived files were not read" in examine(data).told("audit-log")
    assert examine(data, "--archive", str(archive)).exit_code == 0
    flip(next(archive.iterdir()), 1000)
    assert examine(data).exit_code == 0
    assert examine(data, "--archive", str(archive)).status("audit-log") == "critical"


def test_lines_of_text(prepared: Prepared, tmp_path: Path) -> None:
    data = copied(prepared.data, tmp_path)
    clock_set(data)
    done = run_doctor(data, "--quick")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert any(re.match(r"OK       folder: `.+`, node [0-9a-f]{12}$", line) for line in lines)
    (place,) = [number for number, line in enumerate(lines) if line.startswith("WARNING  clock: ")]
    assert lines[place + 1].startswith("           compare `date`")
    assert lines[-2:] == ["Left out by --quick: records, audit-log", "WARNING: clock"]
    assert run_doctor(prepared.data, "--quick").stdout.splitlines()[-1] == "OK: nothing is wrong"


def test_the_document_has_the_shape_that_is_documented(prepared: Prepared) -> None:
    document = examine(prepared.data, "--quick").document
    assert list(document) == ["version", "release", "time", "data", "status", "checks", "left_out"]
    assert document["version"] == 1
    assert document["left_out"] == SLOW
    assert document["data"] == str(prepared.data)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["time"])
    for each in document["checks"]:
        assert list(each) == ["check", "status", "text", "remedies", "seconds"]
        assert each["status"] in EXIT_CODES
        assert each["text"]
        assert isinstance(each["remedies"], list)
        assert each["seconds"] >= 0


def test_the_page_on_operations_has_every_check() -> None:
    page = (Path(__file__).parents[2] / "docs/operations.md").read_text(encoding="utf-8")
    section = page.partition("## Checking everything")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z-]+)` \| .+ \| (?:ok|warning|critical) \|$", section, re.MULTILINE) == NAMES


def test_beside_a_server(prepared: Prepared, tmp_path: Path) -> None:
    data = copied(prepared.data, tmp_path)
    with running_server(data, tmp_path / "log", "--workers", "2") as server:
        kms = client_of(server)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        found = examine(data)
        assert (found.exit_code, found.wrong) == (0, {})
        assert found.told("server") == "a server is using the data folder"
        assert "the material of 5 keys opens" in found.told("records")
        kms.encrypt(KeyId=key, Plaintext=b"x")
        assert server.stop() == 0
    assert "WARNING" not in (tmp_path / "log").read_text()


def test_problems_that_a_server_tells_of(prepared: Prepared, tmp_path: Path) -> None:
    data = copied(prepared.data, tmp_path)
    options = ("--workers", "2", "--region", "eu-west-1")
    with running_server(data, tmp_path / "log", *options, environment={"STRONGROOM_KEEPER_INTERVAL": "3600"}) as server:
        client_with(server, "kms", credentials_of(server, "default"), region="eu-west-1").list_keys()
        for path in (data / "audit").iterdir():
            os.utime(path, (1e9, 1e9))
        change(data, "UPDATE kms_key SET deletion_at = 1000000000 WHERE deletion_at IS NOT NULL")
        found = examine(data, "--quick")
        assert found.exit_code == 1
        assert "keys of Regions that are not served cannot be used" in found.told("problems")
        assert "lines older than 5 minutes are not signed" in found.told("audit-writers")
        assert "1 deletions of keys are overdue" in found.told("keys")
        assert server.stop() == 0
    assert examine(data, "--quick").told("problems") == "no server runs that could tell of any"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("how", How)
def test_random_damage_is_told_in_words(prepared: Prepared, tmp_path: Path, how: How) -> None:
    """What no check expects ends as ``unknown`` with the name of an error: there must be none of that."""
    chance = seeded(len(how))
    secrets = [
        json.loads((prepared.data / "root.key").read_text())["key"],
        *re.findall(r"secret_access_key = (.+)", (prepared.data / "credentials").read_text()),
    ]
    for round_ in range(8):  # 32 in all
        source = prepared.killed if round_ % 2 else prepared.data
        data = shutil.copytree(source, tmp_path / f"{round_}")
        damage = choose(data, chance, how)
        inflict(data, damage)
        done = run_doctor(data, "--json")
        assert "the check ended with" not in done.stdout, (str(damage), done.stdout)
        assert not any(secret in done.stdout for secret in secrets)
        document = json.loads(done.stdout)
        assert done.returncode == EXIT_CODES[document["status"]]
        assert [each["check"] for each in document["checks"]] == NAMES
