"""``audit archive`` and ``audit prune`` that are killed at any moment: no segment is lost, and none is there twice."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts import succeed
from audits import audit_files
from child_processes import timed
from clients import client_of
from local_server import running_server
from server_processes import wait_until

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
        # What no signature covers is not moved.
        wait_until(lambda: "no signature covers" not in succeed(tmp_path / "data", "audit", "verify"))
        yield tmp_path / "data"
        kms.list_keys()
        assert server.stop() == 0


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "strongroom", *map(str, arguments)]


@pytest.mark.parametrize("compress", [(), ("--compress",)])
def test_an_archive_that_is_killed_loses_nothing_and_doubles_nothing(
    data: Path, tmp_path: Path, compress: tuple[str, ...]
) -> None:
    archive = tmp_path / "archive"
    move = ("audit", "archive", "--to", str(archive), *compress)
    contents = {path.name: path.read_bytes() for path in audit_files(data)}
    # One that has nothing to do.
    times = timed(command("audit", "archive", "--to", tmp_path / "none", "--older-than", "9", "--data", data))
    hits = 0
    for kill in range(KILLS):
        hits += times.kill(0.7 + 0.8 * kill / KILLS, command(*move, "--data", data)) != 0
        folders = ("--archive", str(archive)) if archive.exists() else ()
        told = succeed(data, "audit", "verify", *folders)
        assert "The log is whole." in told
        here = {path.name for path in audit_files(data)}
        there = {path.name.removesuffix(".gz") for path in archive.iterdir()} if folders else set()
        assert set(contents) <= here | there
    assert hits
    succeed(data, *move)
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
    prune = ("audit", "prune", str(archive), "--older-than")
    times = timed(command(*prune, "9", "--data", data))
    for part in range(4):
        times.kill(0.7 + part / 5, command(*prune, "0", "--data", data))
        # What is missing in the archive is stated as pruned: else this were a finding.
        assert "The log is whole." in succeed(data, "audit", "verify", "--archive", str(archive))
    succeed(data, *prune, "0")
    assert list(archive.iterdir()) == []
    assert "The log is whole." in succeed(data, "audit", "verify", "--archive", str(archive))
