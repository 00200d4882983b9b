"""A start waits for orphans of a server that was killed, and refuses a folder whose server lives."""

import os
import threading
from contextlib import closing
from pathlib import Path

import pytest

from strongroom.assembly.data_folder import DataFolder, DataFolderError, FolderInUseError
from strongroom.assembly.serving_lock import ServingLock


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path / "data")


def test_a_server_that_lives_is_refused_at_once(folder: DataFolder) -> None:
    with closing(ServingLock(folder)) as first:
        assert not first.waited
        with pytest.raises(FolderInUseError, match="another server is using"):
            ServingLock(folder, patience=60)
    with closing(ServingLock(folder)) as second:
        assert not second.waited


def test_orphans_are_waited_for(folder: DataFolder, caplog: pytest.LogCaptureFixture) -> None:
    folder.make()
    orphan = folder.lock()
    timer = threading.Timer(0.3, os.close, [orphan])
    timer.start()
    with closing(ServingLock(folder)) as lock:
        assert lock.waited
    timer.join()
    (line,) = caplog.messages
    assert line == "waiting for processes of an earlier server, which was killed, to end"


def test_orphans_that_do_not_end_are_refused(folder: DataFolder) -> None:
    folder.make()
    orphan = folder.lock()
    with pytest.raises(DataFolderError, match=f"still use `{folder.path}` after 0.1 s"):
        ServingLock(folder, patience=0.1)
    os.close(orphan)
    ServingLock(folder).close()


def test_a_link_in_the_place_of_the_lock_is_not_followed(folder: DataFolder, tmp_path: Path) -> None:
    folder.make()
    (folder.path / "serving").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="serving"):
        ServingLock(folder)
    assert not (tmp_path / "elsewhere").exists()
