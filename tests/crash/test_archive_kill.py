"""``audit archive`` and ``audit prune`` that are killed at any moment: no segment is lost, and none is there twice."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts import strongroom, succeed
from audits import audit_files
from child_processes import killed
from clients import client_of
from local_server import running_server

KILLS = 8
CALLS = 700


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """Return a data folder whose server is at work, with many complete segments."""
    (tmp_path / "strongroom.toml").write_text("audit-segment-size = 4096\nkeeper-interval = 0.1\n")
    with running_server(tmp_path / "data", tmp_path / "log", "--config", str(tmp_path / "strongroom.toml")) as server:
        kms = client_of(server)
        for _ in range(CALLS):
            kms.list_keys()
        time.sleep(1)
        yield tmp_path / "data"
        kms.list_keys()
        assert server.stop() == 0


def killed_after(seconds: float, data: Path, *arguments: str) -> bool:
    """Run a command and kill it; tell whether it was still running."""
    command = [sys.executable, "-m", "strongroom", *arguments, "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process, killed(process):
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
    return False


def duration(data: Path, *arguments: str) -> float:
    """Return how long a command takes that has nothing to do."""
    begun = time.monotonic()
    strongroom(data, *arguments)
    return time.monotonic() - begun


@pytest.mark.parametrize("compress", [(), ("--compress",)])
def test_an_archive_that_is_killed_loses_nothing_and_doubles_nothing(
    data: Path, tmp_path: Path, compress: tuple[str, ...]
) -> None:
    archive = tmp_path / "archive"
    command = ("audit", "archive", "--to", str(archive), *compress)
    contents = {path.name: path.read_bytes() for path in audit_files(data)}
    start = duration(data, "audit", "archive", "--to", str(tmp_path / "none"), "--older-than", "9")
    hits = 0
    for kill in range(KILLS):
        hits += killed_after(start * (0.7 + 0.8 * kill / KILLS), data, *command)
        folders = ("--archive", str(archive)) if archive.exists() else ()
        told = succeed(data, "audit", "verify", *folders)
        assert "The log is whole." in told
        here = {path.name for path in audit_files(data)}
        there = {path.name.removesuffix(".gz") for path in archive.iterdir()} if folders else set()
        assert set(contents) <= here | there
    assert hits
    succeed(data, *command)
    here = {path.name for path in audit_files(data)}
    names = {path.name.removesuffix(".gz") for path in archive.iterdir()}
    assert here.isdisjoint(names)
    assert len(here) == 1
    assert not list(archive.glob("*.partial"))
    assert "The log is whole." in succeed(data, "audit", "verify")
    told = succeed(data, "audit", "verify", "--archive", str(archive))
    assert "The log is whole." in told
    assert "moved to" not in told
    searched = succeed(data, "audit", "search", "--json", "--event", "ListKeys", "--archive", str(archive))
    assert len(searched.splitlines()) == CALLS


def test_pruning_that_is_killed_is_stated_before_anything_is_gone(data: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    succeed(data, "audit", "archive", "--to", str(archive))
    command = ("audit", "prune", str(archive), "--older-than", "0")
    start = duration(data, "audit", "prune", str(archive), "--older-than", "9")
    for part in range(4):
        killed_after(start * (0.7 + part / 5), data, *command)
        # What is missing in the archive is stated as pruned: else this were a finding.
        assert "The log is whole." in succeed(data, "audit", "verify", "--archive", str(archive))
    succeed(data, *command)
    assert list(archive.iterdir()) == []
    assert "The log is whole." in succeed(data, "audit", "verify", "--archive", str(archive))
