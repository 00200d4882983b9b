"""Two backups or restores of one place at once, with real processes: the second says so in one line."""

import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from accounts import succeed
from halted_commands import halted, started
from local_deployment import LocalDeployment
from strongroom.clock import ManualClock

KEYS = 50


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("at-once") / "data"
    deployment = LocalDeployment(folder, ManualClock(time.time()))  # noqa: TID251 - commands have the real clock
    with closing(deployment.deployment):
        for _ in range(KEYS):
            deployment.call("CreateKey")
    return folder


@contextmanager
def halted_when_written(*backup: object) -> Iterator[None]:
    """Start a backup, and halt it before its file gets the name; let it go on at the end, when it must succeed."""
    with halted("os.link", r"\.partial$", *backup) as command:
        yield
    assert command.code == 0, command.errors


@contextmanager
def halted_when_read(backup: Path, *restore: object) -> Iterator[None]:
    """Start a restore, and halt it while it reads the backup; let it go on at the end, when it must succeed."""
    with halted("sqlite3.connect", r"restoring\.db", *restore) as command:
        assert backup in [each.readlink() for each in Path(f"/proc/{command.pid}/fd").iterdir()]
        yield
    assert command.code == 0, command.errors


def refusal(*arguments: object) -> str:
    """Return the one line with which a command fails."""
    with started(*arguments) as process:
        output, errors = process.communicate(timeout=180)
    assert process.returncode == 1
    (line,) = errors.splitlines()
    assert output == ""
    return line


def is_whole(backup: Path, data: Path) -> bool:
    with started("backup", "verify", backup, "--root-key", data / "root.key") as process:
        output, _ = process.communicate(timeout=180)
    return process.returncode == 0 and f"{KEYS} keys" in output


def test_two_backups_in_one_folder(data: Path, tmp_path: Path) -> None:
    backup = ("backup", "--data", data, "--unencrypted", "--keep", "1", "--to", tmp_path)
    with halted_when_written(*backup):
        assert f"another backup is being made in `{tmp_path}`; wait for its end" in refusal(*backup)
        # One in another place need not wait.
        (tmp_path / "other").mkdir()
        succeed(data, "backup", "--unencrypted", "--to", str(tmp_path / "other"))
    (made,) = tmp_path.glob("*.backup")
    assert is_whole(made, data)
    assert not list(tmp_path.glob(".*"))


def test_two_backups_in_one_file(data: Path, tmp_path: Path) -> None:
    backup = ("backup", "--data", data, "--unencrypted", "--to", tmp_path / "made")
    with halted_when_written(*backup):
        assert "another process is writing" in refusal(*backup)
    assert is_whole(tmp_path / "made", data)


def test_of_backups_at_once_that_keep_one_there_is_one_at_the_end(data: Path, tmp_path: Path) -> None:
    backup = ("backup", "--data", data, "--unencrypted", "--keep", "1", "--to", tmp_path)
    for _ in range(2):
        processes = [started(*backup) for _ in range(3)]
        ended = [(each.communicate(timeout=120)[1], each.returncode) for each in processes]
        assert 0 in [code for _, code in ended]
        assert all("another backup is being made" in errors for errors, code in ended if code)
        (made,) = tmp_path.iterdir()
        assert is_whole(made, data)


def test_a_backup_that_retention_removes_is_read_to_its_end(data: Path, tmp_path: Path) -> None:
    backup = ("backup", "--unencrypted", "--keep", "1", "--to", str(tmp_path))
    succeed(data, *backup)
    (old,) = tmp_path.iterdir()
    new = tmp_path.parent / f"{tmp_path.name}-new"
    restore = ("restore", old, "--root-key", data / "root.key", "--without-audit-log", "--data", new)
    with halted_when_read(old, *restore):
        time.sleep(1.1)  # A backup of the same second would have the same name, but for a number.
        succeed(data, *backup)
        assert not old.exists()
    assert (new / "strongroom.db").exists()


def test_two_restores_in_one_place(data: Path, tmp_path: Path) -> None:
    made, new = tmp_path / "made", tmp_path / "new"
    succeed(data, "backup", "--unencrypted", "--to", str(made))
    restore = ("restore", made, "--root-key", data / "root.key", "--audit", data, "--data", new)
    with halted_when_read(made, *restore):
        assert "another restore is at work" in refusal(*restore)
    assert "The log is whole." in succeed(new, "audit", "verify")
    assert "is not empty" in refusal(*restore)
    assert not list(tmp_path.glob(".*"))


def test_a_server_that_was_started_meanwhile_keeps_its_folder(data: Path, tmp_path: Path) -> None:
    made, new = tmp_path / "made", tmp_path / "new"
    succeed(data, "backup", "--unencrypted", "--to", str(made))
    new.mkdir()
    restore = ("restore", made, "--root-key", data / "root.key", "--without-audit-log", "--data", new)
    with halted("sqlite3.connect", r"restoring\.db", *restore) as command:
        shutil.copy2(data / "root.key", new)
    assert command.code == 1
    assert "is not empty" in command.errors
    assert [each.name for each in new.iterdir()] == ["root.key"]
