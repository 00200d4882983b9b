"""Two backups or restores of one place at once, with real processes: the second says so in one line."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from accounts import succeed
from local_deployment import LocalDeployment
from strongroom.clock import ManualClock

KEYS = 500


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("at-once") / "data"
    deployment = LocalDeployment(folder, ManualClock(time.time()))  # noqa: TID251 - commands have the real clock
    with closing(deployment.deployment):
        for _ in range(KEYS):
            deployment.call("CreateKey")
    return folder


def started(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "strongroom", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def halted(folder: Path, pattern: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start a command, and halt it once there is a file in a folder; let it go on at the end, when it must succeed."""
    with started(*arguments) as process:
        while not list(folder.glob(pattern)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.0005)
        process.send_signal(signal.SIGSTOP)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors


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
    with halted(tmp_path, ".*.partial", *backup):
        assert f"another backup is being made in `{tmp_path}`; wait for its end" in refusal(*backup)
        # One in another place need not wait.
        (tmp_path / "other").mkdir()
        succeed(data, "backup", "--unencrypted", "--to", str(tmp_path / "other"))
    (made,) = tmp_path.glob("*.backup")
    assert is_whole(made, data)
    assert not list(tmp_path.glob(".*"))


def test_two_backups_in_one_file(data: Path, tmp_path: Path) -> None:
    backup = ("backup", "--data", data, "--unencrypted", "--to", tmp_path / "made")
    with halted(tmp_path, ".made.partial", *backup):
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
    with halted(tmp_path.parent, f".{new.name}.restoring/restoring.db", *restore):
        time.sleep(1.1)  # A backup of the same second would have the same name, but for a number.
        succeed(data, *backup)
        assert not old.exists()
    assert (new / "strongroom.db").exists()


def test_two_restores_in_one_place(data: Path, tmp_path: Path) -> None:
    made, new = tmp_path / "made", tmp_path / "new"
    succeed(data, "backup", "--unencrypted", "--to", str(made))
    restore = ("restore", made, "--root-key", data / "root.key", "--audit", data, "--data", new)
    with halted(tmp_path, ".new.restoring/restoring.db", *restore):
        assert "another restore is at work" in refusal(*restore)
    assert "The log is whole." in succeed(new, "audit", "verify")
    assert "is not empty" in refusal(*restore)
    assert not list(tmp_path.glob(".*"))


def test_a_server_that_was_started_meanwhile_keeps_its_folder(data: Path, tmp_path: Path) -> None:
    made, new = tmp_path / "made", tmp_path / "new"
    succeed(data, "backup", "--unencrypted", "--to", str(made))
    new.mkdir()
    restore = ("restore", made, "--root-key", data / "root.key", "--without-audit-log", "--data", new)
    with started(*restore) as process:
        while not (tmp_path / ".new.restoring" / "restoring.db").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.0005)
        process.send_signal(signal.SIGSTOP)
        shutil.copy2(data / "root.key", new)
        process.send_signal(signal.SIGCONT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "is not empty" in errors
    assert [each.name for each in new.iterdir()] == ["root.key"]
