"""Shipping that is killed at any moment, or whose disk is full: nothing is lost, and nothing is there twice."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit_disk import Disk
from child_processes import killed
from clients import client_of
from local_server import running_server
from server_processes import wait_until
from shipping import content_of, process_of, ship, shipper_of, writing
from strongroom.clock import SystemClock
from strongroom.shipping.folder import FolderDestination
from strongroom.store.audit.segments import segments_of

KILLS = 24
SHIPPER = "strongroom.cli.audit_shipper"


ALONE = """
import sys
from pathlib import Path
from shipping import shipper_of
from strongroom.clock import SystemClock
from strongroom.shipping.folder import FolderDestination
from strongroom.store.audit.segments import segments_of
audit, state, copy = map(Path, sys.argv[1:])
print("ships", flush=True)
shipper_of(audit, state, FolderDestination(copy), SystemClock()).run()
"""


def test_a_copy_is_the_log_after_many_kills_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("audit", "copy"):
        (tmp_path / name).mkdir()
    disk = Disk(tmp_path / "audit", monkeypatch)
    log = disk.open(size=20_000)
    command = [sys.executable, "-c", ALONE, *(str(tmp_path / name) for name in ("audit", "state", "copy"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def write() -> None:
        disk.write(log, "event")
        time.sleep(0.001)

    with writing(write):
        for number in range(KILLS):
            with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process, killed(process):
                assert process.stdout is not None
                assert process.stdout.readline() == b"ships\n"
                time.sleep(0.01 * number)
            # Whatever was shipped is the beginning of the log.
            for name, content in content_of(tmp_path / "copy").items():
                assert (tmp_path / "audit" / name).read_bytes().startswith(content)
    log.close()
    ship(shipper_of(tmp_path / "audit", tmp_path / "state", FolderDestination(tmp_path / "copy"), SystemClock()))
    assert content_of(tmp_path / "copy") == content_of(tmp_path / "audit")
    assert len(content_of(tmp_path / "copy")) > 3


def test_a_copy_is_the_log_however_often_its_shipper_is_killed(tmp_path: Path) -> None:
    copies = [tmp_path / "one", tmp_path / "two"]
    settings = "workers = 2\naudit-segment-size = 30000\n"
    for copy in copies:
        copy.mkdir()
        settings += f'[[audit-ship]]\nto = "folder:{copy}"\n'
    (tmp_path / "strongroom.toml").write_text(settings)
    options = ("--config", str(tmp_path / "strongroom.toml"))
    killed, audit = 0, tmp_path / "data" / "audit"
    for _ in range(2):
        with running_server(tmp_path / "data", tmp_path / "log", *options) as server:
            kms = client_of(server)
            with writing(kms.list_keys):
                # After each, the supervisor waits longer before it starts the next one.
                for number in range(3):
                    wait_until(lambda: process_of(server.process.pid, SHIPPER) is not None)
                    # On a busy machine, few calls are written meanwhile.
                    before = len(segments_of(audit))
                    wait_until(lambda before=before: len(segments_of(audit)) > before)  # type: ignore[misc]
                    time.sleep(0.07 * number)
                    pid = process_of(server.process.pid, SHIPPER)
                    if pid is not None:
                        os.kill(pid, signal.SIGKILL)
                        killed += 1
            # The whole server, in the middle of it.
            server.process.kill()
            killed += 1
    # Again without a kill, so that all that is there is shipped.
    with running_server(tmp_path / "data", tmp_path / "log", *options) as server:
        client_of(server).list_keys()
        assert server.stop() == 0
    log = content_of(audit)
    assert killed >= 6
    assert len(log) > 4
    assert [content_of(copy) == log for copy in copies] == [True, True]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a disk of 64 KB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("only root may mount a file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_full_disk_is_told_of_and_gets_everything_when_there_is_room(tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "strongroom.toml").write_text(f'[[audit-ship]]\nto = "folder:{small_disk}"\n')
    options = ("--config", str(tmp_path / "strongroom.toml"))
    with running_server(tmp_path / "data", tmp_path / "log", *options) as server:
        kms = client_of(server)
        for _ in range(150):
            kms.list_keys()
        wait_until(lambda: "No space left on device" in (tmp_path / "log").read_text())
        # What it took is the beginning of the log.
        for name, content in content_of(small_disk).items():
            assert (tmp_path / "data" / "audit" / name).read_bytes().startswith(content[: content.rfind(b"\n") + 1])
        subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
        wait_until(lambda: content_of(small_disk) == content_of(tmp_path / "data" / "audit"))
        # The mount goes away while it is used: nothing is written to the folder below it.
        subprocess.run(["umount", "-l", str(small_disk)], check=True)
        kms.list_keys()
        wait_until(lambda: "is not the folder that was shipped to before" in (tmp_path / "log").read_text())
        assert list(small_disk.iterdir()) == []
        assert server.stop() == 0
