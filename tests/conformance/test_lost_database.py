"""A data folder that has lost its database is refused, and nothing in it is made anew."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from accounts import strongroom
from clients import client_of
from local_server import running_server

COMMANDS = (
    ("serve", "--listen", "127.0.0.1:0", "--workers", "1"),
    ("audit", "verify"),
    ("account", "create", "111122223333"),
    ("service", "list"),
    ("who-can", "kms:Encrypt"),
)
QUESTIONS = ("audit", "who-can")
"""Of these, exit code 1 would be an answer."""


@pytest.fixture(scope="module")
def served_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a data folder that was served, and a key in it."""
    folder = tmp_path_factory.mktemp("lost")
    with running_server(folder / "data", folder / "log") as server:
        key_id = client_of(server).create_key()["KeyMetadata"]["KeyId"]
        assert server.stop() == 0
    return folder / "data", key_id


def remove(database: Path) -> None:
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()


def remove_but_for_the_log(database: Path) -> None:
    remove(database)
    database.with_name(f"{database.name}-wal").write_bytes(b"x" * 5000)


def empty(database: Path) -> None:
    remove(database)
    database.touch()


LOSSES: dict[Callable[[Path], None], str] = {
    remove: "is missing",
    remove_but_for_the_log: "is missing",
    empty: "is empty",
}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("lose", LOSSES)
def test_no_command_begins_anew(
    served_folder: tuple[Path, str], tmp_path: Path, lose: Callable[[Path], None], command: tuple[str, ...]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(served_folder[0], data)
    lose(data / "strongroom.db")
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    done = strongroom(data, *command)
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == (2 if command[0] in QUESTIONS else 1)
    assert f"`{data / 'strongroom.db'}` {LOSSES[lose]}" in line
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("left", ["audit", "node-id", "root.key"])
def test_one_thing_that_is_left_is_enough(served_folder: tuple[Path, str], tmp_path: Path, left: str) -> None:
    data = tmp_path / "data"
    data.mkdir(0o700)
    copy = shutil.copytree if left == "audit" else shutil.copy
    copy(served_folder[0] / left, data / left)
    done = strongroom(data, "serve", "--listen", "127.0.0.1:0", "--workers", "1")
    assert done.returncode == 1
    assert f"`{data / left}` is there: this folder was served before" in done.stderr
    # Beside it there is only the empty file that the refused start has locked.
    assert {path.name for path in data.iterdir()} - {"serving"} == {left}


def test_the_folder_is_served_again_when_the_database_is_back(served_folder: tuple[Path, str], tmp_path: Path) -> None:
    data, (source, key_id) = tmp_path / "data", served_folder
    shutil.copytree(source, data)
    remove(data / "strongroom.db")
    assert strongroom(data, "serve", "--listen", "127.0.0.1:0", "--workers", "1").returncode == 1
    shutil.copy(source / "strongroom.db", data)
    with running_server(data, tmp_path / "log") as server:
        assert client_of(server).describe_key(KeyId=key_id)["KeyMetadata"]["Enabled"]
        assert server.stop() == 0
