"""A server whose standard streams are closed, full or without a reader serves all the same, and says so in its log."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

import pytest

from server_processes import PATIENCE, wait_until
from started_servers import ENDING, command_of


def close_all() -> None:
    for descriptor in range(3):
        os.close(descriptor)


def close_input() -> None:
    os.close(0)


def close_output() -> None:
    os.close(1)


def close_errors() -> None:
    os.close(2)


def ready(data: Path) -> bool:
    """Tell whether a server is ready; where it listens is in a file that it has written before."""
    if not (data / "env.fish").exists():
        return False
    found = re.search(r"AWS_ENDPOINT_URL_KMS='?http://([0-9.:]+)", (data / "env.sh").read_text())
    assert found is not None
    connection = HTTPConnection(found[1], timeout=PATIENCE)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("close", [close_all, close_input, close_output, close_errors])
def test_closed_streams_are_no_files_of_the_data_folder(
    tmp_path: Path, close: Callable[[], None], workers: str
) -> None:
    data = tmp_path / "data"
    # The function only closes a descriptor in the new process.
    with subprocess.Popen(command_of(data, "--workers", workers), preexec_fn=close) as process:  # noqa: PLW1509
        try:
            wait_until(lambda: ready(data) or process.poll() is not None)
            opened = [str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) for number in range(3)]
            process.terminate()
            assert process.wait(ENDING) == 0
        finally:
            process.kill()
    assert not [each for each in opened if each.startswith(str(tmp_path))]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_pipe_without_a_reader_is_logged_once(tmp_path: Path, workers: str) -> None:
    """As after ``strongroom serve | head -1``."""
    data, log = tmp_path / "data", tmp_path / "log"
    reading, writing = os.pipe()
    os.close(reading)
    with (
        log.open("w") as errors,
        subprocess.Popen(command_of(data, "--workers", workers), stdout=writing, stderr=errors) as process,
    ):
        os.close(writing)
        try:
            wait_until(lambda: ready(data) or process.poll() is not None)
            process.terminate()
            assert process.wait(ENDING) == 0
        finally:
            process.kill()
    assert log.read_text().count("standard output cannot be written") == 1
    assert "Broken pipe" in log.read_text()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_disk_behind_standard_output_does_not_stop_a_server(tmp_path: Path, workers: str) -> None:
    data, log = tmp_path / "data", tmp_path / "log"
    with (
        log.open("w") as errors,
        Path("/dev/full").open("w") as full,
        subprocess.Popen(command_of(data, "--workers", workers), stdout=full, stderr=errors) as process,
    ):
        try:
            wait_until(lambda: ready(data) or process.poll() is not None)
            process.terminate()
            assert process.wait(ENDING) == 0
        finally:
            process.kill()
    assert "standard output cannot be written" in log.read_text()


def test_a_start_that_is_stopped_ends_without_a_reader() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        # The handler of the first moment, before any module is loaded.
        [sys.executable, "-c", "import signal, strongroom.__main__ as m; m._hold_signals(); signal.pause()"],
        stdout=writing,
    ) as process:
        os.close(writing)
        try:
            wait_until(lambda: _catches_sigterm(process.pid))
            process.terminate()
            assert process.wait(ENDING) == 0
        finally:
            process.kill()


def _catches_sigterm(pid: int) -> bool:
    """Tell whether a process has a handler of SIGTERM, from the mask of caught signals in /proc."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)
