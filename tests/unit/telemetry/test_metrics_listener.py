"""Scrapes over real sockets: several workers in one process, well-behaved clients and abusive ones."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from prometheus_client.registry import Collector

from local_deployment import LocalDeployment
from scrapes import ScrapedMetrics
from server_processes import wait_until
from strongroom.clock import ManualClock
from strongroom.descriptors import readable
from strongroom.operations.kms.table import TABLE
from strongroom.service.counters import SUCCESS, CallCounters
from strongroom.telemetry import metrics_listener, metrics_meeting
from strongroom.telemetry.metrics import Sources, WorkerMetrics
from strongroom.telemetry.metrics_listener import MetricsListener
from strongroom.telemetry.metrics_meeting import Meeting

WORKERS = ("w0", "w1", "w2")
SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
LONG = 60.0
"""Seconds in which all must have answered, however slow the machine is."""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait long for what answers. Tests of what does not answer wait less."""
    monkeypatch.setattr(metrics_listener, "_PEER_TIME", LONG)
    monkeypatch.setattr(metrics_meeting, "ANSWER_TIME", LONG)


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock)
    yield local
    local.deployment.close()


class Worker:
    """The metrics listener of a worker, on its own port."""

    def __init__(self, local: LocalDeployment, name: str, folder: Path) -> None:
        deployment = local.deployment
        self.counters = CallCounters()
        self.counters.note((TABLE["Encrypt"], SUCCESS, 0.001))
        keeper, log = deployment.keeper.counters, deployment.log
        store, snapshot = deployment.store_counters, deployment.backends.snapshot
        own = WorkerMetrics(
            Sources(name, deployment.node, self.counters, keeper, store, log, snapshot, deployment.problems)
        )
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._socket.getsockname()
        self._serving = MetricsListener(self._socket, own, Meeting(folder, WORKERS)).serving()

    def __enter__(self) -> Self:
        self._serving.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.__exit__(None, None, None)
        self._socket.close()


def ask(address: tuple[str, int], request: bytes) -> bytes:
    """Send a request; return the whole response, empty if the connection was reset."""
    answer = b""
    with socket.create_connection(address, timeout=LONG) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(request)
        while piece := connection.recv(65536):
            answer += piece
    return answer


def shown_by(worker: Worker) -> ScrapedMetrics:
    head, _, body = ask(worker.address, SCRAPE).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    return ScrapedMetrics(body.decode())


@pytest.mark.parametrize("depth", [1, 60])
def test_any_worker_returns_the_metrics_of_all(local: LocalDeployment, tmp_path: Path, depth: int) -> None:
    folder = tmp_path.joinpath(*["deep"] * depth)
    folder.mkdir(parents=True)
    folder /= "metrics"
    with Worker(local, "w0", folder) as first, Worker(local, "w1", folder) as second, Worker(local, "w2", folder):
        for worker in (first, second):
            shown = shown_by(worker)
            assert [shown.sum("strongroom_worker_up", worker=name) for name in WORKERS] == [1, 1, 1]
            assert shown.labels("strongroom_requests_total", "worker") == set(WORKERS)
            # The format allows each family only once.
            kinds = [line for line in shown.text.splitlines() if line.startswith("# TYPE")]
            assert len(kinds) == len(set(kinds)) > 30
        assert folder.stat().st_mode & 0o777 == 0o700
        assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600] * 3
    assert list(folder.iterdir()) == []


def test_a_worker_that_is_missing_or_hangs_or_sends_nonsense_is_down(
    local: LocalDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_listener, "FRESH", 0.0)
    monkeypatch.setattr(metrics_meeting, "FRESH", 0.0)
    folder = tmp_path / "metrics"
    meeting = Meeting(folder, WORKERS)
    with Worker(local, "w0", folder) as first:
        for name in ("w1", "w2"):
            assert shown_by(first).sum("strongroom_worker_up", worker=name) == 0
        # w1 leaves only the socket file of a killed worker; w2 accepts connections but does not answer.
        meeting.listen("w1").close()
        with contextlib.closing(meeting.listen("w2")) as hanging:
            with monkeypatch.context() as impatient:
                impatient.setattr(metrics_listener, "_PEER_TIME", 0.5)
                shown = shown_by(first)
            assert [shown.sum("strongroom_worker_up", worker=name) for name in WORKERS] == [1, 0, 0]
            assert shown.labels("strongroom_requests_total", "worker") == {"w0"}
            answering = threading.Thread(target=_answer_nonsense, args=(hanging,))
            answering.start()
            assert shown_by(first).sum("strongroom_worker_up", worker="w2") == 0
            answering.join()
        # A new worker replaces the old one.
        with Worker(local, "w1", folder):
            assert shown_by(first).sum("strongroom_worker_up", worker="w1") == 1
            assert shown_by(first).sum("strongroom_requests_total", worker="w1") == 1


def _answer_nonsense(listener: socket.socket) -> None:
    # The first connection is the one that got no answer before.
    for _ in range(2):
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"nonsense")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /metrics/ HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"405"),
        (b"HEAD /metrics HTTP/1.0\r\n\r\n", b"405"),
        (b"DELETE / HTTP/1.1\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /metrics\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400"),
        (b"GET /metrics?x=y HTTP/1.1\r\n\r\n", b"200"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 9000 + b"\r\n\r\n", b"431"),
    ],
)
def test_only_get_metrics_is_served(local: LocalDeployment, tmp_path: Path, request_: bytes, status: bytes) -> None:
    with Worker(local, "w0", tmp_path / "metrics") as worker:
        answer = ask(worker.address, request_)
        assert answer.startswith(b"HTTP/1.1 " + status + b" ")
        assert b"\r\nConnection: close\r\n" in answer
        assert (b"\r\nAllow: GET\r\n" in answer) == (status == b"405")


def test_clients_that_send_endlessly_or_nothing_are_disconnected(
    local: LocalDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Worker(local, "w0", tmp_path / "metrics") as worker:
        with monkeypatch.context() as impatient:
            impatient.setattr(metrics_meeting, "ANSWER_TIME", 0.5)
            # ``ask`` waits for the end of the connection for a minute.
            assert ask(worker.address, b"") == b""
            assert ask(worker.address, b"GET /metr") == b""
        with contextlib.suppress(OSError), socket.create_connection(worker.address, timeout=LONG) as endless:
            for _ in range(1000):
                endless.sendall(b"x" * 65536)
            pytest.fail("64 MiB were accepted")
        assert shown_by(worker).sum("strongroom_requests_total") == 1


def is_open_at_the_other_end(connection: socket.socket) -> bool:
    """Tell whether the server has a connection open, which it has accepted."""
    ends = [f":{port:04X}" for _, port in (connection.getpeername(), connection.getsockname())]
    _, *rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
    # Closed ones have no inode (proc_pid_net(5), ``tcp``).
    return any([row[1][-5:], row[2][-5:]] == ends and row[9] != "0" for row in rows)


def test_a_client_that_does_not_read_is_disconnected(
    local: LocalDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_meeting, "ANSWER_TIME", 0.5)
    written = threading.Event()

    def much(_: Collector) -> bytes:
        written.set()
        return b"# " + b"x" * (32 << 20) + b"\n"

    monkeypatch.setattr(metrics_listener, "generate_latest", much)
    with Worker(local, "w0", tmp_path / "metrics") as worker, socket.create_connection(worker.address) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert written.wait(LONG)
        wait_until(lambda: not is_open_at_the_other_end(slow))
        slow.settimeout(LONG)
        got = 0
        with contextlib.suppress(ConnectionError):
            while piece := slow.recv(1 << 20):
                got += len(piece)
        assert got < 32 << 20


def test_too_many_scrapes_are_disconnected_and_later_ones_are_served(
    local: LocalDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "metrics"
    with Worker(local, "w0", folder) as first, Worker(local, "w1", folder) as second:
        threads = threading.active_count()
        with idle(first) as connections:
            wait_until(lambda: disconnected(connections) == len(connections) - metrics_meeting.MAX_ANSWERS)
            assert threading.active_count() == threads
            assert ask(first.address, SCRAPE) == b""
            # Requests of other workers have a separate limit.
            assert shown_by(second).sum("strongroom_worker_up", worker="w0") == 1
        wait_until(lambda: ask(first.address, SCRAPE) != b"")
        with monkeypatch.context() as impatient:
            impatient.setattr(metrics_meeting, "ANSWER_TIME", 0.5)
            with idle(first) as connections:
                wait_until(lambda: disconnected(connections) == len(connections))
        assert shown_by(first).sum("strongroom_worker_up", worker="w0") == 1


@contextlib.contextmanager
def idle(worker: Worker) -> Iterator[list[socket.socket]]:
    """Open many connections to a worker that nothing is sent on."""
    with contextlib.ExitStack() as open_:
        yield [open_.enter_context(socket.create_connection(worker.address)) for _ in range(50)]


def disconnected(connections: list[socket.socket]) -> int:
    """Return how many connections the server has closed."""
    return len(readable([each.fileno() for each in connections], 0))


def test_scrapes_within_half_a_second_get_the_same_response(
    local: LocalDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert metrics_meeting.FRESH == 0.5
    monkeypatch.setattr(metrics_listener, "FRESH", LONG)
    with Worker(local, "w0", tmp_path / "metrics") as worker:
        before = shown_by(worker).text
        worker.counters.note((TABLE["Encrypt"], SUCCESS, 0.001))
        assert shown_by(worker).text == before
        monkeypatch.setattr(metrics_listener, "FRESH", 0.0)
        assert shown_by(worker).sum("strongroom_requests_total") == 2
