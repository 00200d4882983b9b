"""No signal that can be caught ends a server without a word."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from clients import client_of
from halted_commands import stopped_at
from local_server import RunningServer, running_server
from server_processes import PATIENCE, children_of, wait_until

STOP = {signal.SIGTERM, signal.SIGINT}
STOPPED_ONLY = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGKILL}
FAULTS = {signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS}
SURVIVED = sorted(signal.valid_signals() - STOP - STOPPED_ONLY - FAULTS)
SILENT = {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
NOTED = set(SURVIVED) - SILENT - {signal.SIGHUP}


@pytest.fixture(params=[1, 2])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    with running_server(tmp_path / "data", tmp_path / "log", "--workers", str(request.param)) as server:
        yield server


def named(number: int) -> str:
    """Return how a log names a signal."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def test_a_server_survives_all_that_are_no_faults(server: RunningServer, tmp_path: Path) -> None:
    """The first process gets each of them, and so does each worker."""
    log = tmp_path / "log"
    workers = children_of(server.process.pid)
    for pid in (server.process.pid, *workers):
        for number in SURVIVED:
            os.kill(pid, number)
        wait_until(lambda: all(f"{named(number)} does nothing" in log.read_text() for number in NOTED))
    wait_until(lambda: "SIGHUP: no setting has changed" in log.read_text())
    for _ in range(5):
        client_of(server).create_key()
    assert children_of(server.process.pid) == workers
    assert server.stop() == 0
    assert "Traceback" not in log.read_text()


def test_a_worker_says_where_to_send_sighup(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running_server(tmp_path / "data", log, "--workers", "2") as server:
        os.kill(children_of(server.process.pid)[0], signal.SIGHUP)
        wait_until(
            lambda: "SIGHUP does nothing: the server is starting, or this is one of its workers" in log.read_text()
        )
        assert server.stop() == 0


@pytest.mark.parametrize("number", sorted(FAULTS), ids=lambda number: number.name)
def test_a_fault_leaves_words(tmp_path: Path, number: signal.Signals) -> None:
    with running_server(tmp_path / "data", tmp_path / "log") as server:
        os.kill(server.process.pid, number)
        # Python's faulthandler reads the stacks of threads that run meanwhile. Rarely that is a fault, too.
        assert server.process.wait(PATIENCE) in {-number, -signal.SIGSEGV}
    # What each thread was doing: functions and lines, no values.
    assert "most recent call first" in (tmp_path / "log").read_text()


HELD = (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that must not end a server while its modules are loaded."""


def test_signals_that_come_while_the_modules_are_loaded(tmp_path: Path) -> None:
    with loading(tmp_path) as server:
        for number in HELD:
            server.send_signal(number)
        server.send_signal(signal.SIGCONT)
        assert server.stdout is not None
        shown = server.stdout.readline()
        assert " serves account " in shown, server.communicate(timeout=PATIENCE)
        server.terminate()
        assert server.wait(PATIENCE) == 0
    for number in (signal.SIGTERM, signal.SIGINT):
        with loading(tmp_path) as server:
            server.send_signal(number)
            server.send_signal(signal.SIGCONT)
            output, errors = server.communicate(timeout=PATIENCE)
            assert (server.returncode, output, errors) == (0, "Strongroom has stopped.\n", "")


def loading(folder: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    """Start a server that stops (SIGSTOP) while it loads its modules."""
    command = ("serve", "--data", folder / "data", "--listen", "127.0.0.1:0")
    return stopped_at("import", r"^strongroom\.cli\.main$", *command)


def test_an_interrupt_while_a_command_is_loaded_is_told_in_one_line() -> None:
    ended = subprocess.run([sys.executable, "-c", _INTERRUPTED], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "\nAborted!\n")


_INTERRUPTED = """
import sys

class Interrupted:
    def find_spec(self, name, *_):
        if name == "strongroom.cli.main":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
from strongroom.__main__ import main
main()
"""
