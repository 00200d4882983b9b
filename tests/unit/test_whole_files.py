"""Small files that are never seen half written."""

import errno
import os
from pathlib import Path

import pytest

from strongroom.whole_files import create_file, replace_file, write_named_file


def test_a_file_is_whole_private_and_leaves_no_draft(tmp_path: Path) -> None:
    for write in (replace_file, create_file):
        path = tmp_path / write.__name__
        (tmp_path / f"{path.name}.new").write_bytes(b"what a killed process has left, which is longer")
        write(path, b"content")
        assert path.read_bytes() == b"content"
        assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["create_file", "replace_file"]


def test_a_file_that_an_operator_has_named_leaves_all_others_alone(tmp_path: Path) -> None:
    path, other = tmp_path / "report", tmp_path / "report.new"
    other.write_bytes(b"the operator's")
    for number, replace in enumerate((False, True)):
        write_named_file(path, b"content %d" % number, replace=replace)
        assert path.read_bytes() == b"content %d" % number
        assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError, match=str(path)):
        write_named_file(path, b"another", replace=False)
    with pytest.raises(FileNotFoundError, match="missing/report"):
        write_named_file(tmp_path / "missing" / "report", b"another", replace=True)
    assert path.read_bytes() == b"content 1"
    assert other.read_bytes() == b"the operator's"
    assert sorted(tmp_path.iterdir()) == [path, other]


def test_a_draft_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"of another user")
    (tmp_path / "file.new").symlink_to(other)
    replace_file(tmp_path / "file", b"content")
    assert other.read_bytes() == b"of another user"


def test_only_replace_replaces(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"first")
    replace_file(path, b"second", durable=False)
    assert path.read_bytes() == b"second"
    with pytest.raises(FileExistsError):
        create_file(path, b"third")
    assert path.read_bytes() == b"second"


def test_the_content_is_on_disk_before_the_name_and_then_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "file", list[tuple[bool, bool]]()
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        is_folder = os.fstat(descriptor).st_ino == tmp_path.stat().st_ino
        synced.append((is_folder, path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    create_file(path, b"content")
    assert synced == [(False, False), (True, True)]
    synced.clear()
    path.unlink()
    replace_file(path, b"content")
    assert synced == [(False, False), (True, True)]
    synced.clear()
    replace_file(path, b"content", durable=False)
    assert not synced


def test_a_write_that_fails_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    taken = tmp_path / "taken"
    taken.write_bytes(b"content")
    with pytest.raises(FileExistsError):
        create_file(taken, b"secret")
    monkeypatch.setattr(os, "fsync", full)
    for write in (replace_file, create_file):
        with pytest.raises(OSError, match=f"No space left on device: '{tmp_path / 'file'}"):
            write(tmp_path / "file", b"secret")
    assert list(tmp_path.iterdir()) == [taken]


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "file"
    create_file(path, b"first")
    with pytest.raises(FileExistsError):
        create_file(path, b"second")
    (tmp_path / "link").symlink_to(tmp_path / "missing")
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "link", b"third")
    assert path.read_bytes() == b"first"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "link"]
