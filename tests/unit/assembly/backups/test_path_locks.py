"""Locks of the places of backups and restores."""

import os
from pathlib import Path

import pytest

from strongroom.assembly.backups.path_locks import path_lock
from strongroom.assembly.data_folder import DataFolderError


def test_the_second_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with path_lock(path, "taken"):
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(DataFolderError, match=r"^taken$"), path_lock(path, "taken"):
            pass
        assert path.exists()
    assert not path.exists()


def test_one_that_was_left_is_taken(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_text("")
    with path_lock(path, "taken"):
        pass
    assert not path.exists()


def test_one_that_its_holder_removes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was opened here before, so the lock of the removed file would keep no one out."""
    path, opened = tmp_path / ".lock", os.open
    path.write_text("")
    count = 0

    def remove_first(name: Path, flags: int, mode: int) -> int:
        nonlocal count
        descriptor = opened(name, flags, mode)
        count += 1
        if count == 1:
            path.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", remove_first)
    with path_lock(path, "taken"):
        assert path.exists()
    assert count == 2


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_what_cannot_be_locked_is_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
    with pytest.raises(DataFolderError, match="cannot be locked"), path_lock(path, "taken"):
        pass
    assert not (tmp_path / "elsewhere").exists()
