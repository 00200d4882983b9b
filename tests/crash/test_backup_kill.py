"""Backups and restores that are killed at many moments: nothing half done passes for done."""

import itertools
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from accounts import succeed
from child_processes import timed
from local_deployment import LocalDeployment
from strongroom.clock import ManualClock

KEYS = 300
MOMENTS = [0.4 + 0.65 * number / 9 for number in range(10)]
"""When commands are killed, as parts of the time that they take: over all of it, most at its end."""


class Folder:
    """A data folder with some hundred keys, and how long a command on it takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        deployment = LocalDeployment(self.data, ManualClock(time.time()))  # noqa: TID251 - commands have the real clock
        with closing(deployment.deployment):
            for _ in range(KEYS):
                deployment.call("CreateKey")
        self.backup = folder / "backup"
        self.root_key = folder / "root.key"
        shutil.copy2(self.data / "root.key", self.root_key)
        succeed(self.data, "backup", "--to", str(self.backup), "--unencrypted")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("killed"))


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "strongroom", *map(str, arguments)]


def verified(path: Path, root_key: Path) -> bool:
    done = subprocess.run(
        command("backup", "verify", path, "--root-key", root_key), capture_output=True, text=True, check=False
    )
    return done.returncode == 0 and f"{KEYS} keys" in done.stdout and "The backup is whole." in done.stdout


def test_a_backup_that_is_killed_leaves_no_file_that_passes_for_one(made: Folder, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    back_up = command("backup", "--to", folder, "--unencrypted", "--data", made.data)
    killed = 0
    times = timed(back_up)
    for moment in MOMENTS:
        before = set(folder.iterdir())
        killed += times.kill(moment, back_up) != 0
        for path in set(folder.iterdir()) - before:
            assert path.name.startswith(".") or verified(path, made.root_key)
    assert killed
    # With retention: the old ones stay until the new one is complete.
    for path in folder.iterdir():
        path.unlink()
    succeed(made.data, "backup", "--to", str(folder), "--unencrypted")
    keep_one = [*back_up, "--keep", "1"]
    times = timed(keep_one)
    for moment in MOMENTS:
        times.kill(moment, keep_one)
        whole = [path for path in folder.iterdir() if not path.name.startswith(".")]
        assert whole
        assert verified(whole[0], made.root_key)
    succeed(made.data, "backup", "--to", str(folder), "--unencrypted", "--keep", "1")
    (left,) = folder.iterdir()
    assert verified(left, made.root_key)


def test_a_restore_that_is_killed_leaves_nothing_or_all(made: Folder, tmp_path: Path) -> None:
    numbers = itertools.count()

    def restore(to: Path) -> list[str]:
        options = ("--root-key", made.root_key, "--audit", made.data, "--data", to)
        return command("restore", made.backup, *options)

    killed = 0
    times = timed(restore(tmp_path / "first"))
    for moment in MOMENTS:
        target = tmp_path / f"new{next(numbers)}"
        killed += times.kill(moment, restore(target)) != 0
        if target.exists():
            # It was put in place just before: then everything is there.
            assert "The log is whole." in succeed(target, "audit", "verify")
            again = tmp_path / f"again{next(numbers)}"
            succeed(target, "backup", "--to", str(again), "--unencrypted")
            assert verified(again, made.root_key)
            continue
        hidden = target.with_name(f".{target.name}.restoring")
        if (hidden / "root.key").exists() and not (hidden / "strongroom.db").exists():
            # Also if it is served under its hidden name, no new keys are begun there.
            served = command("serve", "--data", hidden, "--listen", "127.0.0.1:0")
            done = subprocess.run(served, capture_output=True, text=True, check=False, timeout=180)
            assert done.returncode != 0
            assert "was served before" in done.stderr
        # The next attempt removes what was left.
        subprocess.run(restore(target), check=True, capture_output=True)
        assert not hidden.exists()
        assert (target / "strongroom.db").exists()
    assert killed


def test_a_verification_that_is_killed_changes_nothing(made: Folder) -> None:
    before = made.backup.read_bytes()
    verify = command("backup", "verify", made.backup, "--root-key", made.root_key)
    times = timed(verify)
    for moment in MOMENTS[::4]:
        times.kill(moment, verify)
    assert made.backup.read_bytes() == before
    assert verified(made.backup, made.root_key)
