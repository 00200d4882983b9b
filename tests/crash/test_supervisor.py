"""The supervisor of several workers: workers that end or hang, and signals."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from child_processes import killed
from clients import client_of
from local_server import RunningServer, running_server
from raw_connections import has_reply, open_connections, send_all
from server_processes import PATIENCE, children_of, is_alive, is_stopped, wait_until

WORKERS = 3
TIMEOUT = 5
CONNECTIONS = 20
"""So many, that the kernel gives some to each worker."""
ATTEMPTS = 5
HALTED_WORKER = """
import os, signal, sys
if sys.orig_argv[-1] == "strongroom.cli.worker":
    os.kill(os.getpid(), signal.SIGSTOP)
"""
"""Python runs a module of the name ``sitecustomize`` when it starts."""
STOP_SIGNAL_DELAY = 1.0
"""Seconds for which a start waits for a stop signal, once one of its workers was ended by one."""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def server(tmp_path: Path, log: Path) -> Iterator[RunningServer]:
    config = tmp_path / "strongroom.toml"
    config.write_text(f"worker-timeout = {TIMEOUT}\n")
    with running_server(tmp_path / "data", log, "--workers", str(WORKERS), "--config", str(config)) as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in log.read_text()


def answers(server: RunningServer, patience: float) -> bool:
    """Tell whether a new connection is answered."""
    connection = http.client.HTTPConnection(server.endpoint.rpartition("/")[2], timeout=patience)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def is_told(log: Path, text: str) -> bool:
    """Tell whether the log has a text."""
    return text in log.read_text()


def test_a_worker_that_hangs_is_replaced_and_the_others_go_on(server: RunningServer, log: Path) -> None:
    # On a busy machine, a worker may be replaced before this process has looked for an answer of the others.
    assert any(_answers_while_one_hangs(server, log, number) for number in range(WORKERS))
    client_of(server).create_key()


def _answers_while_one_hangs(server: RunningServer, log: Path, number: int) -> bool:
    """Stop the oldest worker, which has this number, until it is replaced; tell whether others answered before."""
    hangs, *others = children_of(server.process.pid)
    os.kill(hangs, signal.SIGSTOP)
    with open_connections(server, CONNECTIONS) as connections:
        send_all(connections, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: any(map(has_reply, connections)))
        answered = is_alive(hangs)
    wait_until(partial(is_told, log, f"worker {number} sent no heartbeat for {TIMEOUT} s; killed it"))
    wait_until(lambda: len(set(children_of(server.process.pid)) - {hangs}) == WORKERS)
    assert set(others) < set(children_of(server.process.pid))
    return answered


def test_no_worker_is_killed_for_time_in_which_all_were_stopped(server: RunningServer) -> None:
    # On a busy machine, workers may have to wait for this process while the supervisor goes on already.
    assert any(_go_on_after_a_pause(server) for _ in range(ATTEMPTS))


def _go_on_after_a_pause(server: RunningServer) -> bool:
    """Stop all processes for a while; tell whether all went on. Fails if not, and the supervisor was not far ahead."""
    workers = children_of(server.process.pid)
    for pid in (server.process.pid, *workers):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(2 * TIMEOUT)
    began = time.monotonic()
    # The supervisor first, so that it checks before any worker has had time for a heartbeat.
    for pid in (server.process.pid, *workers):
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.2)
    ahead = time.monotonic() - began
    time.sleep(2)
    if children_of(server.process.pid) == workers:
        return True
    assert ahead > TIMEOUT / 2
    wait_until(lambda: len(set(children_of(server.process.pid)) - set(workers)) == WORKERS)
    return False


def test_workers_that_end_together_come_back_together(server: RunningServer, log: Path) -> None:
    before = children_of(server.process.pid)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(set(children_of(server.process.pid)) - set(before)) == WORKERS)
    wait_until(lambda: answers(server, 5))
    for number in range(WORKERS):
        wait_until(partial(is_told, log, f"worker {number} ended with -9; starting another"))


def test_a_stop_does_not_wait_for_a_worker_that_waits_to_be_started(server: RunningServer, log: Path) -> None:
    killed: set[int] = set()
    # Until the next restarts wait for eight seconds.
    while len(killed) < 5 * WORKERS:
        for pid in set(children_of(server.process.pid)) - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
    wait_until(lambda: log.read_text().count("ended with -9") == len(killed))
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 7


def test_truncated_shared_memory_of_the_database_is_rebuilt(server: RunningServer, tmp_path: Path) -> None:
    """The kernel kills the workers that read it (SIGBUS), and their replacements rebuild it."""
    key_id = client_of(server).create_key()["KeyMetadata"]["KeyId"]
    os.truncate(tmp_path / "data" / "strongroom.db-shm", 0)
    wait_until(lambda: answers(server, 5))
    client_of(server).disable_key(KeyId=key_id)
    for _ in range(2 * WORKERS):
        assert client_of(server).describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "Disabled"


def test_a_start_works_at_once_after_the_supervisor_was_killed(tmp_path: Path, log: Path) -> None:
    for _ in range(3):
        with running_server(tmp_path / "data", log, "--workers", str(WORKERS)) as server:
            client_of(server).create_key()
            server.process.kill()


@contextmanager
def starting(
    folder: Path, log: Path, workers: int, *wrapper: str, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server as a terminal does, in a process group of its own. ``environment`` is added to ours."""
    command = [sys.executable, "-m", "strongroom", "serve", "--data", str(folder), "--listen", "127.0.0.1:0"]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*wrapper, *command, "--workers", str(workers)],
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            env={**os.environ, **environment},
        ) as process,
        killed(process),
    ):
        yield process


@contextmanager
def halted_start(folder: Path, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """Start a server whose workers are stopped before they do anything; yield it and them."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HALTED_WORKER)
    with starting(folder / "data", log, WORKERS, PYTHONPATH=str(folder)) as process:
        wait_until(lambda: len(children_of(process.pid)) == WORKERS)
        workers = children_of(process.pid)
        wait_until(lambda: all(map(is_stopped, workers)))
        yield process, workers


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [1, WORKERS])
def test_a_stop_during_the_start_is_clean(tmp_path: Path, log: Path, number: signal.Signals, workers: int) -> None:
    for later in (0.0, 0.3, 0.6, 0.9):
        data = tmp_path / f"data-{later}"
        with starting(data, log, workers) as process:
            wait_until(data.exists)
            time.sleep(later)
            os.killpg(process.pid, number)
            assert process.wait(PATIENCE) == 0
            assert process.stdout
            assert process.stdout.read().endswith(b"Strongroom has stopped.\n")
        assert not log.read_text()


def test_a_worker_that_cannot_start_ends_the_start(tmp_path: Path, log: Path) -> None:
    with halted_start(tmp_path / "start", log) as (process, workers):
        os.kill(workers[1], signal.SIGKILL)
        go_on(workers[0], workers[2])
        assert process.wait(PATIENCE) == 1
        assert not any(map(is_alive, workers))
    why = "it was ended by SIGKILL; the kernel does so when memory runs out"
    assert log.read_text() == f"Error: worker 1 did not start: {why}\n"


def test_a_stop_during_the_start_may_reach_a_worker_first(tmp_path: Path, log: Path) -> None:
    # On a busy machine, the stop may reach the supervisor too late.
    assert any(_stop_is_clean(tmp_path / f"start{number}", log) for number in range(ATTEMPTS))


def _stop_is_clean(folder: Path, log: Path) -> bool:
    """Stop a worker that starts, then its supervisor; tell whether that was clean. Fails if not, and it was in time."""
    with halted_start(folder, log) as (process, workers):
        began = time.monotonic()
        os.kill(workers[1], signal.SIGTERM)
        go_on(workers[1])
        wait_until(lambda: not is_alive(workers[1]))
        process.terminate()
        took = time.monotonic() - began
        go_on(workers[0], workers[2])
        code = process.wait(PATIENCE)
    if (code, log.read_text()) == (0, ""):
        return True
    assert took > STOP_SIGNAL_DELAY
    return False


def go_on(*processes: int) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_orphan_processes_are_reaped(tmp_path: Path, log: Path) -> None:
    """As process 1 of a container, the server becomes the parent of processes whose own parent has ended."""
    with starting(tmp_path / "data", log, WORKERS, "sh", "-c", 'sleep 600 & exec "$@"', "sh") as process:
        wait_until(lambda: len(children_of(process.pid)) == WORKERS + 1)
        os.kill(min(children_of(process.pid)), signal.SIGKILL)
        wait_until(lambda: len(children_of(process.pid)) == WORKERS)
        assert all(map(is_alive, children_of(process.pid)))
        process.terminate()
        assert process.wait(PATIENCE) == 0
