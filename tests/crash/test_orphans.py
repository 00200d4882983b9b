"""Workers whose supervisor was killed end by themselves, and the next start waits for them."""

import os
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from clients import client_of
from local_server import running_server
from server_processes import PATIENCE, children_of, is_alive, wait_until
from started_servers import announced, failed_start, started

WORKERS = 2


def test_workers_end_soon_after_their_supervisor_was_killed(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", tmp_path / "log", "--workers", str(WORKERS)) as server:
        workers = children_of(server.process.pid)
        # One that is stopped, or at work, ends as well.
        os.kill(workers[0], signal.SIGSTOP)
        server.process.kill()
        began = time.monotonic()
        wait_until(lambda: not any(map(is_alive, workers)))
        assert time.monotonic() - began < 60


@pytest.mark.parametrize("count", ["1", str(WORKERS)])
def test_a_start_right_after_the_kill_gets_folder_and_port(tmp_path: Path, count: str) -> None:
    data = tmp_path / "data"
    with running_server(data, tmp_path / "log", "--workers", str(WORKERS)) as server:
        key_id = client_of(server).create_key()["KeyMetadata"]["KeyId"]
        listen = urlsplit(server.endpoint).netloc
        server.process.kill()
        with running_server(data, tmp_path / "next", "--workers", count, "--listen", listen) as following:
            assert client_of(following).describe_key(KeyId=key_id)
            assert following.stop() == 0


def test_orphans_that_still_hold_the_folder_are_waited_for(tmp_path: Path) -> None:
    """As a worker that the kernel takes long to end, this process holds the lock that it has from the supervisor."""
    data, log = tmp_path / "data", tmp_path / "next"
    with running_server(data, tmp_path / "log") as server:
        assert server.stop() == 0
    holder = subprocess.Popen(["flock", "--no-fork", str(data), "sleep", "600"])
    try:
        wait_until(lambda: "sleep" in Path(f"/proc/{holder.pid}/comm").read_text())
        with started(log, data, "--workers", str(WORKERS)) as process:
            wait_until(
                lambda: "waiting for processes of an earlier server, which was killed, to end" in log.read_text()
            )
            assert process.poll() is None
            holder.kill()
            holder.wait()
            assert announced(process)
            process.terminate()
            assert process.wait(PATIENCE) == 0
    finally:
        holder.kill()
        holder.wait()


@pytest.mark.parametrize("count", ["1", str(WORKERS)])
def test_a_server_that_lives_is_not_waited_for(tmp_path: Path, count: str) -> None:
    data = tmp_path / "data"
    with running_server(data, tmp_path / "log", "--workers", count):
        ended = failed_start(data, "--workers", str(WORKERS))
        assert ended.code == 1
        assert ended.errors == f"Error: another server is using `{data}`; stop it first, or choose another --data\n"
