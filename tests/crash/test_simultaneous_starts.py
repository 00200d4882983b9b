"""Of two servers that are started at one moment, one serves; the last line of the other says why it does not."""

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from free_ports import free_port
from server_processes import PATIENCE
from started_servers import announced, started

ROUNDS = 4


@pytest.mark.parametrize(
    ("workers", "host", "shared"),
    [
        pytest.param(("1", "1"), "127.0.0.1", "port", id="one worker"),
        pytest.param(("2", "2"), "127.0.0.1", "port", id="two workers"),
        pytest.param(("1", "2"), "::1", "port", id="IPv6"),
        pytest.param(("1", "2"), "127.0.0.1", "metrics", id="the port of the metrics"),
        pytest.param(("2", "1"), "127.0.0.1", "folder", id="the folder"),
    ],
)
def test_exactly_one_serves(tmp_path: Path, workers: tuple[str, str], host: str, shared: str) -> None:
    for number in range(ROUNDS):
        port = free_port(host)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        with ExitStack() as stack:
            logs = [tmp_path / f"log-{number}-{which}" for which in range(2)]
            option = {"port": ("--listen", address), "metrics": ("--metrics-listen", address), "folder": ()}[shared]
            folders = [tmp_path / f"data-{number}-{0 if shared == 'folder' else which}" for which in range(2)]
            both = [
                stack.enter_context(started(log, data, "--workers", count, *option))
                for log, data, count in zip(logs, folders, workers, strict=True)
            ]
            serving = [announced(process) for process in both]
            assert sorted(serving) == [False, True], [log.read_text() for log in logs]
            loser = both[serving.index(False)]
            assert loser.wait(PATIENCE) == 1
            (line,) = logs[serving.index(False)].read_text().splitlines()
            said = f"another server is using `{folders[0]}`" if shared == "folder" else f"cannot listen on {address}"
            assert line.startswith(f"Error: {said}")
            winner = both[serving.index(True)]
            time.sleep(0.1)
            assert winner.poll() is None
            winner.terminate()
            assert winner.wait(PATIENCE) == 0
