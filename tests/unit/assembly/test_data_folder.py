"""Data folders are refused in which another user could change something, and those that have lost their database."""

import os
from pathlib import Path

import pytest

from strongroom.assembly.data_folder import DataFolder, DataFolderError, upgrade_unused
from strongroom.assembly.deployment import take_folder
from strongroom.clock import ManualClock
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.seals.file import create_root_key, load_file_seal
from strongroom.entropy import system_entropy
from strongroom.settings_sources import load
from strongroom.store.sqlite.schema_version import upgrade

NOBODY = 65534


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a file one of another user: give it away, or where only root may do that, become another user."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    else:
        other = os.geteuid() + 1
        monkeypatch.setattr("os.geteuid", lambda: other)


def lock(path: Path) -> None:
    os.close(DataFolder(path).lock())


def test_a_new_folder_is_private(tmp_path: Path) -> None:
    lock(tmp_path / "a" / "data")
    assert (tmp_path / "a" / "data").stat().st_mode & 0o777 == 0o700
    lock(tmp_path / "a" / "data")


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o711])
def test_a_folder_that_others_may_read_is_used(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    lock(tmp_path)


@pytest.mark.parametrize("mode", [0o770, 0o775, 0o702, 0o777, 0o1777, 0o2770])
def test_a_folder_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(DataFolderError) as refused:
        lock(tmp_path)
    remedy = f"run: chmod go-w {tmp_path}, or name a folder in it"
    assert str(refused.value) == f"`{tmp_path}` can be written by others; {remedy}"
    assert list(tmp_path.iterdir()) == []
    tmp_path.chmod(mode & ~0o022)
    lock(tmp_path)


def test_a_folder_in_one_that_all_may_write_is_used(tmp_path: Path) -> None:
    for mode in (0o1777, 0o777):
        tmp_path.chmod(mode)
        lock(tmp_path / f"{mode:o}")


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    folder.mkdir(0o700)
    give_away(folder, monkeypatch)
    with pytest.raises(DataFolderError) as refused:
        lock(folder)
    text = str(refused.value)
    assert text.startswith(f"`{folder}` belongs to user ")
    assert "run this as user" in text
    # The service of that user could no longer open a folder that belongs to root.
    assert text.endswith(f" {folder}") is ("run: chown" in text) is (os.geteuid() != 0)
    assert "\n" not in text
    assert list(folder.iterdir()) == []


def test_a_command_says_so_too_if_it_had_to_upgrade_the_database(tmp_path: Path) -> None:
    """It needs the lock for that."""
    tmp_path.chmod(0o770)
    with pytest.raises(DataFolderError, match="can be written by others"):
        upgrade_unused(DataFolder(tmp_path))


def test_a_link_is_followed_unless_it_is_another_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, link = tmp_path / "data", tmp_path / "link"
    folder.mkdir(0o700)
    link.symlink_to(folder)
    lock(link)
    folder.chmod(0o770)
    with pytest.raises(DataFolderError, match="can be written by others"):
        lock(link)
    folder.chmod(0o700)
    give_away(link, monkeypatch)
    with pytest.raises(DataFolderError, match="is a symbolic link of user"):
        lock(link)


@pytest.mark.parametrize(
    "name", ["strongroom.db", "strongroom.db-wal", "strongroom.db-journal", "node-id", "audit", "seal.json"]
)
def test_state_of_another_user_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been put there while the folder was open to others, and its owner can still change it."""
    path = tmp_path / name
    if name == "audit":
        path.mkdir()
    else:
        path.touch()
    lock(tmp_path)
    if os.geteuid() == 0:
        give_away(path, monkeypatch)
        with pytest.raises(DataFolderError, match=f"{name}` belongs to user "):
            lock(tmp_path)


FILES = ("strongroom.db", "strongroom.db-wal", "node-id", "seal.json", "clock", "serving", "registering")


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    for make in (Path.mkdir, os.mkfifo):
        make(tmp_path / name)
        with pytest.raises(DataFolderError, match=f"{name}` is not a file; move it away"):
            lock(tmp_path)
        (tmp_path / name).rmdir() if (tmp_path / name).is_dir() else (tmp_path / name).unlink()
    lock(tmp_path)


@pytest.mark.parametrize("name", ["audit", "problems"])
def test_what_is_no_folder_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(DataFolderError, match=f"{name}` is not a folder; move it away"):
        lock(tmp_path)


@pytest.mark.parametrize("name", ["strongroom.db", "strongroom.db-wal"])
def test_a_database_with_two_names_is_refused(name: str, tmp_path: Path) -> None:
    """SQLite would keep a log for each of the names."""
    folder, other = tmp_path / "data", tmp_path / "other"
    folder.mkdir(mode=0o700)
    (folder / name).touch()
    other.hardlink_to(folder / name)
    with pytest.raises(DataFolderError, match=f"{name}` has another name, a hard link; remove that one"):
        lock(folder)
    other.unlink()
    lock(folder)
    (folder / name).rename(other)
    (folder / name).symlink_to(other)
    with pytest.raises(DataFolderError, match=f"{name}` is a symbolic link; move the file itself here"):
        lock(folder)


def test_a_root_key_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user who put it there knows it."""
    path = tmp_path / "root.key"
    create_root_key(path, system_entropy)
    load_file_seal(path, system_entropy)
    give_away(path, monkeypatch)
    with pytest.raises(UnsealError) as refused:
        load_file_seal(path, system_entropy)
    assert str(refused.value).startswith(f"`{path}` belongs to user ")
    assert "run this as user" in str(refused.value)


def start(folder: DataFolder) -> None:
    os.close(take_folder(load("", {}, {"data": str(folder.path)}), ManualClock(1_790_000_000.0), system_entropy))


def test_a_first_start_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    upgrade(folder.database)
    create_root_key(folder.root_key, system_entropy)
    start(folder)
    assert folder.credentials.exists()


def test_a_folder_that_is_refused_leaves_no_file_open(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    start(folder)
    folder.root_key.unlink()
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        with pytest.raises(DataFolderError, match="without it no key can be used"):
            start(folder)
    assert len(set(Path("/proc/self/fd").iterdir()) - before) <= 1


def test_a_database_without_keys_is_refused_in_a_folder_that_was_served(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    start(folder)
    for path in tmp_path.glob(f"{folder.database.name}*"):
        path.unlink()
    upgrade(folder.database)
    with pytest.raises(DataFolderError, match=r"has no keys, but `.*node-id` is there: this folder was served before"):
        start(folder)
