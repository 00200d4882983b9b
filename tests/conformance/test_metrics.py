"""Metrics of a real server: of one worker and of several, also while one of them is dead."""

import contextlib
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from client_errors import error_code_of
from clients import Raw, client_of, send, signed
from local_server import RunningServer, running_server
from scrapes import ScrapedMetrics, scrape, scrape_until, url_of
from server_processes import PATIENCE, children_of

WORKERS = ("w0", "w1", "w2")
CALLS = 30
ANYWHERE = ("--metrics-listen", "127.0.0.1:0")


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "data", tmp_path / "log", "--workers", str(len(WORKERS)), *ANYWHERE) as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert list((tmp_path / "data" / "metrics").iterdir()) == []


def up(shown: ScrapedMetrics) -> list[float]:
    return [shown.sum("strongroom_worker_up", worker=worker) for worker in WORKERS]


def encrypted(shown: ScrapedMetrics) -> float:
    return shown.sum("strongroom_requests_total", operation="Encrypt")


def test_calls_of_one_worker(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", tmp_path / "log", *ANYWHERE) as server:
        kms = client_of(server)
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        for _ in range(CALLS):
            kms.encrypt(KeyId=key_id, Plaintext=b"x")
        assert error_code_of(kms.encrypt, KeyId="alias/none", Plaintext=b"x") == "NotFoundException"
        pair = {"KeyId": key_id, "KeyPairSpec": "RSA_2048"}
        kms.generate_data_key_pair(**pair)  # type: ignore[arg-type]
        assert send(server, signed(server), lambda raw: raw.headers.update({"X-Amz-Date": "x"})).status == 400
        assert send(server, signed(server), lambda raw: setattr(raw, "path", "/other")).status == 404
        assert send(server, Raw("POST", "/", {"Content-Type": "text/plain"}, b"")).status == 404
        url = urlsplit(server.endpoint)
        with socket.create_connection((url.hostname or "", url.port or 0)) as nonsense:
            nonsense.sendall(b"nonsense\r\n\r\n")
            assert b" 400 " in nonsense.recv(4096)
        shown = scrape(server)
        counts = {
            ("CreateKey", "success"): 1,
            ("Encrypt", "success"): CALLS,
            ("Encrypt", "NotFoundException"): 1,
            ("GenerateDataKeyPair", "success"): 1,
            ("ListKeys", "IncompleteSignatureException"): 1,
        }
        assert {
            (sample.labels["operation"], sample.labels["outcome"]): sample.value
            for sample in shown.samples("strongroom_requests_total", service="kms", worker="w0")
        } == counts
        assert shown.sum("strongroom_request_duration_seconds_count", operation="Encrypt") == CALLS + 1
        assert 0 < shown.sum("strongroom_request_duration_seconds_sum", operation="Encrypt") < CALLS
        assert shown.sum("strongroom_http_requests_refused_total", status="404") == 2
        assert shown.sum("strongroom_http_requests_refused_total", status="400") == 1
        assert shown.sum("strongroom_connections_accepted_total") >= 5
        assert shown.sum("strongroom_connections_open") >= 1
        assert shown.sum("strongroom_lane_requests_in_work") == 0
        assert shown.sum("strongroom_worker_up", worker="w0") == 1
        assert shown.sum("process_resident_memory_bytes", worker="w0") > 1e6
        # Metrics show nothing of what callers sent.
        for text in (key_id, "alias/none", "AKIA", "arn:", "127.0.0.1"):
            assert text not in shown.text
        assert server.stop() == 0
        with pytest.raises(urllib.error.URLError):
            scrape(server)


def test_one_scrape_shows_all_workers(workers: RunningServer) -> None:
    key_id = client_of(workers).create_key()["KeyMetadata"]["KeyId"]
    # The kernel gives each connection to some worker: none is left out for so long.
    for _ in range(CALLS):
        client_of(workers).encrypt(KeyId=key_id, Plaintext=b"x")
    # A worker that does not answer within two seconds, as on a busy machine, is left out of a scrape.
    shown = scrape_until(workers, lambda shown: up(shown) == [1, 1, 1] and encrypted(shown) == CALLS)
    assert shown.labels("strongroom_requests_total", "worker") == set(WORKERS)
    assert shown.labels("strongroom_keeper_rounds_total", "worker") == set(WORKERS)
    assert shown.sum("strongroom_audit_lines_written_total") >= CALLS + 1 + len(WORKERS)
    assert shown.labels("process_cpu_seconds_total", "worker") == set(WORKERS)


@pytest.mark.parametrize("victim", WORKERS)
def test_a_dead_worker_does_not_break_a_scrape(workers: RunningServer, victim: str) -> None:
    number = WORKERS.index(victim)
    pids = children_of(workers.process.pid)
    patient_scrape(workers, lambda shown: up(shown) == [1, 1, 1])
    # A stopped worker does not answer, and the supervisor does not replace it yet.
    os.kill(pids[number], signal.SIGSTOP)
    # A connection may be given to the one that is stopped, as to any that hangs.
    without = [float(worker != victim) for worker in WORKERS]
    shown = patient_scrape(workers, lambda shown: up(shown) == without)
    assert victim not in shown.labels("strongroom_keeper_rounds_total", "worker")
    os.kill(pids[number], signal.SIGKILL)
    shown = patient_scrape(workers, lambda shown: up(shown) == [1, 1, 1])
    assert victim in shown.labels("strongroom_keeper_rounds_total", "worker")


def patient_scrape(server: RunningServer, holds: Callable[[ScrapedMetrics], bool]) -> ScrapedMetrics:
    """Scrape until a condition holds, each time with a short timeout."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(url_of(server), timeout=4) as answer:  # noqa: S310
            shown = ScrapedMetrics(answer.read().decode())
            if holds(shown):
                return shown
        time.sleep(0.1)
    raise AssertionError("the scrapes never show it")


def test_hostile_scrapers_do_not_disturb_calls(workers: RunningServer) -> None:
    url = urlsplit(url_of(workers))
    address = (url.hostname or "", url.port or 0)
    kms = client_of(workers)
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    with contextlib.ExitStack() as open_:
        for number in range(100):
            idle = open_.enter_context(contextlib.closing(socket.create_connection(address)))
            with contextlib.suppress(OSError):
                idle.sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"y" * (100_000 if number % 2 else 1))
        begun = time.monotonic()
        for _ in range(CALLS):
            kms.encrypt(KeyId=key_id, Plaintext=b"x")
        assert time.monotonic() - begun < 60
    patient_scrape(workers, lambda shown: up(shown) == [1, 1, 1] and encrypted(shown) == CALLS)


def test_a_metrics_port_in_use_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(SystemExit),
            running_server(tmp_path / "data", tmp_path / "log", "--metrics-listen", address),
        ):
            pass
    log = (tmp_path / "log").read_text()
    assert "Address already in use" in log
    assert "Traceback" not in log
