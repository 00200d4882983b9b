"""A service manager such as systemd hears when a server is ready, reloads, lives and stops, whatever its workers."""

import signal
from pathlib import Path

import pytest

from clients import client_of
from local_server import running_server
from service_managers import listening


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_a_service_manager_hears(tmp_path: Path, workers: str) -> None:
    log = tmp_path / "log"
    with listening(tmp_path / "notify") as listener:
        told = {"NOTIFY_SOCKET": listener.path, "WATCHDOG_USEC": "60000000"}
        with running_server(tmp_path / "data", log, "--workers", workers, environment=told) as server:
            ready = listener.next_but_watchdog()
            assert ready == {
                "READY": "1",
                "STATUS": f"serves account 000000000000 in us-east-1 at {server.endpoint}",
            }
            client_of(server).create_key()

            server.process.send_signal(signal.SIGHUP)
            reloading = listener.next_but_watchdog()
            assert reloading["RELOADING"] == "1"
            assert reloading["MONOTONIC_USEC"].isdecimal()
            assert listener.next_but_watchdog() == ready

            # They come once a second.
            assert [listener.next() for _ in range(3)] == [{"WATCHDOG": "1"}] * 3

            server.process.terminate()
            assert listener.next_but_watchdog()["STOPPING"] == "1"
            assert server.process.wait(30) == 0
    assert "NOTIFY_SOCKET" not in log.read_text()
