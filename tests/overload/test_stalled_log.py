"""The reader of the log does not read: calls are still answered, workers replaced, and the server stops."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_server import RunningServer, running_server
from raw_connections import open_connections, replies, send_all, signed_request_bytes
from server_processes import children_of, wait_until

CALLS = 3000
FORGED = 1100


@pytest.fixture(params=[1, 2])
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    """A server whose log is a pipe that is never read."""
    monkeypatch.setenv("STRONGROOM_ACCESS_LOG", "true")
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with running_server(tmp_path / "data", tmp_path / "log", "--workers", str(request.param)) as server:
            yield server
    finally:
        os.close(reader)


def test_a_log_without_a_reader_delays_nothing(server: RunningServer) -> None:
    good = signed_request_bytes(server, "ListKeys")
    forged = re.sub(rb"Signature=(..)", lambda found: b"Signature=" + (b"11" if found[1] == b"00" else b"00"), good)
    with open_connections(server, 8) as clients:
        # Lines of the access log fill the pipe; then each worker logs lines of its own.
        for request, count, status in ((good, CALLS, 200), (forged, FORGED, 400), (good, 8, 200)):
            for _ in range(0, count, 8 if request is good else 4):
                send_all(clients, request)
                assert {reply.status for reply in replies(clients)} == {status}
    workers = children_of(server.process.pid)
    if workers:
        os.kill(workers[0], signal.SIGKILL)
        wait_until(lambda: len({*children_of(server.process.pid)} - {workers[0]}) == len(workers))
    assert server.stop() == 0
