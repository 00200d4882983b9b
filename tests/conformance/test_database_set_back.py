"""A database that was rolled back, in whatever way, is refused by the server and the commands, and reported."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from accounts import strongroom
from clients import client_of
from local_server import running_server

SERVE = ("serve", "--listen", "127.0.0.1:0", "--workers", "1")
COMMANDS = (SERVE, ("account", "create", "111122223333"), ("service", "list"), ("who-can", "kms:Encrypt"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return an older copy of a data folder, and the folder as a kill left it after more keys were acknowledged."""
    folder = tmp_path_factory.mktemp("set-back")
    with running_server(folder / "data", folder / "log", "--workers", "1") as server:
        client_of(server).create_key()
        assert server.stop() == 0
    shutil.copytree(folder / "data", folder / "older")
    with running_server(folder / "data", folder / "log", "--workers", "1") as server:
        for _ in range(5):
            client_of(server).create_key()
        server.process.kill()
        server.process.wait(60)
    return folder / "older", folder / "data"


def put_the_older_one_back(older: Path, data: Path) -> None:
    for path in data.glob("strongroom.db*"):
        path.unlink()
    for path in older.glob("strongroom.db*"):
        shutil.copy2(path, data)


def remove_the_log(_older: Path, data: Path) -> None:
    (data / "strongroom.db-wal").unlink()


def flip_a_bit_of_the_log(_older: Path, data: Path) -> None:
    path = data / "strongroom.db-wal"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


WAYS = (put_the_older_one_back, remove_the_log, flip_a_bit_of_the_log)


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def set_back(folders: tuple[Path, Path], tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    way: Callable[[Path, Path], None] = request.param
    shutil.copytree(folders[1], tmp_path / "data")
    way(folders[0], tmp_path / "data")
    return tmp_path / "data"


def test_nothing_is_served_from_it(set_back: Path) -> None:
    for command in COMMANDS:
        refused = strongroom(set_back, *command)
        assert refused.returncode == (2 if command[0] == "who-can" else 1)
        (line,) = refused.stderr.splitlines()
        assert line.startswith(
            f"Error: `{set_back}/strongroom.db` was rolled back: the database is older than the audit log"
        )
        assert "acknowledged changes are missing" in line
        assert "strongroom database accept-older" in line


def test_verification_of_the_audit_log_reports_it(set_back: Path) -> None:
    verified = strongroom(set_back, "audit", "verify")
    assert verified.returncode == 1
    assert "DATABASE SET BACK: the database is older than the audit log" in verified.stdout


def test_a_database_of_another_folder_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(folders[1], data)
    with sqlite3.connect(data / "strongroom.db") as database:
        database.execute("UPDATE database_history SET history_id = '0123456789abcdef'")
    database.close()
    refused = strongroom(data, *SERVE)
    assert refused.returncode == 1
    assert "which this audit log does not know" in refused.stderr


def test_what_a_kill_leaves_is_served(folders: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(folders[1], tmp_path / "data")
    with running_server(tmp_path / "data", tmp_path / "log") as server:
        assert len(client_of(server).list_keys()["Keys"]) == 6
        assert server.stop() == 0
    assert "The log is whole." in strongroom(tmp_path / "data", "audit", "verify").stdout


def test_an_operator_can_go_on_with_it_and_no_copy_from_before_is_accepted_then(set_back: Path) -> None:
    shutil.copytree(set_back, set_back.with_name("before"))
    accepted = strongroom(set_back, "database", "accept-older")
    assert accepted.returncode == 0, accepted.stderr
    assert accepted.stdout.startswith("Accepted: the database is older than the audit log")
    with running_server(set_back, set_back.with_name("log"), "--workers", "1") as server:
        client_of(server).create_key()
        assert server.stop() == 0
    verified = strongroom(set_back, "audit", "verify")
    assert "SET BACK" not in verified.stdout
    found = strongroom(set_back, "audit", "search", "--event", "AcceptOlderDatabase", "--json")
    assert '"lapse":"lost changes"' in found.stdout
    put_the_older_one_back(set_back.with_name("before"), set_back)
    refused = strongroom(set_back, *SERVE)
    assert refused.returncode == 1
    assert "the database is a copy from before its history 2" in refused.stderr


def test_nothing_can_be_accepted_where_nothing_is_missing(folders: tuple[Path, Path]) -> None:
    refused = strongroom(folders[0], "database", "accept-older")
    assert refused.returncode == 1
    assert "there is nothing to accept" in refused.stderr


def test_the_folder_of_a_running_server_is_left_alone(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", tmp_path / "log", "--workers", "1") as server:
        refused = strongroom(tmp_path / "data", "database", "accept-older")
        assert "another server is using" in refused.stderr
        assert server.stop() == 0
