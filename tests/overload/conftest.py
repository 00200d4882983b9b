"""Each test has a server of its own, so that what one test does to it does not affect another."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from local_server import RunningServer, running_server

Start = Callable[..., RunningServer]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def start(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Return a function that starts a server of one process with some settings; at the end it must stop cleanly."""
    with ExitStack() as running:
        started: list[RunningServer] = []

        def start(**settings: int) -> RunningServer:
            for name, value in settings.items():
                monkeypatch.setenv(f"STRONGROOM_{name.upper()}", str(value))
            started.append(running.enter_context(running_server(data, tmp_path / "log")))
            return started[0]

        yield start
        for server in started:
            assert server.stop() == 0
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log
