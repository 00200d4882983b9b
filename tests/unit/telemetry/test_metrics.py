"""The metrics of one worker, as families and as text."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from deployments import Bench, Refused
from scrapes import Shown
from strongroom import __version__, errors
from strongroom.clock import ManualClock
from strongroom.errors import KmsError
from strongroom.http.trusted_proxies import TrustedProxies
from strongroom.operations.kms.table import TABLE
from strongroom.operations.operation import Lane
from strongroom.service.counters import SUCCESS, Measurements
from strongroom.telemetry.access_log import AccessLog
from strongroom.telemetry.log_queue import LogQueue
from strongroom.telemetry.metrics import Sources, WorkerMetrics

DOCUMENT = Path(__file__).parents[3] / "docs" / "operations.md"


@pytest.fixture
def bench(tmp_path: Path, clock: ManualClock) -> Iterator[Bench]:
    bench = Bench(tmp_path / "data", clock)
    yield bench
    bench.deployment.close()


def sources_of(bench: Bench, measurements: Measurements, worker: str = "w0") -> Sources:
    deployment = bench.deployment
    access_log = AccessLog(TrustedProxies(()), LogQueue(2))
    return Sources(
        worker,
        measurements,
        deployment.keeper.measurements,
        deployment.store_measurements,
        deployment.log,
        deployment.backends.snapshot,
        access_log,
    )


def show(bench: Bench, measurements: Measurements) -> Shown:
    registry = CollectorRegistry()
    registry.register(WorkerMetrics(sources_of(bench, measurements)))
    return Shown(generate_latest(registry).decode())


def test_calls_are_counted_by_how_they_ended(bench: Bench) -> None:
    measurements = Measurements()
    for seconds in (0.0001, 0.0002, 3.0):
        measurements.note((TABLE["Encrypt"], SUCCESS, seconds))
    measurements.note((TABLE["Encrypt"], "AccessDeniedException", 0.0002))
    measurements.answered_no_call(404)
    measurements.answered_no_call(200)
    shown = show(bench, measurements)
    call = {"service": "kms", "operation": "Encrypt", "worker": "w0"}
    assert shown.sum("strongroom_requests_total", outcome="success", **call) == 3
    assert shown.sum("strongroom_requests_total", outcome="AccessDeniedException", **call) == 1
    assert shown.sum("strongroom_request_duration_seconds_count", **call) == 4
    assert shown.sum("strongroom_request_duration_seconds_sum", **call) == pytest.approx(3.0005)
    for bound, count in (("0.0001", 1), ("0.00025", 3), ("2.5", 3), ("5.0", 4), ("+Inf", 4)):
        assert shown.sum("strongroom_request_duration_seconds_bucket", le=bound, **call) == count
    assert shown.sum("strongroom_http_requests_refused_total", status="404") == 1
    assert shown.labels("strongroom_http_requests_refused_total", "status") == {"404"}


def test_what_the_parts_did_is_shown(bench: Bench) -> None:
    key_id = bench.call("CreateKey")["KeyMetadata"]["KeyId"]
    for _ in range(3):
        bench.call("Encrypt", KeyId=key_id, Plaintext="eA==")
    with pytest.raises(Refused):
        bench.call("Encrypt", KeyId="alias/none", Plaintext="eA==")
    measurements = Measurements()
    measurements.connections = {1, 2}
    measurements.note((None, "", 0.001))
    measurements.in_work = {(Lane.WAITING, True): 3, (Lane.WAITING, False): 1}
    before = show(bench, measurements)
    assert before.sum("strongroom_build_info", version=__version__, worker="w0") == 1
    assert before.sum("strongroom_connections_open") == 2
    assert before.sum("strongroom_lane_requests_in_work", lane="waiting") == 4
    assert before.sum("strongroom_snapshot_held", kind="key") == 1
    assert before.sum("strongroom_snapshot_misses_total", kind="key") == 1
    assert before.sum("strongroom_snapshot_misses_total", kind="alias") == 1
    assert before.sum("strongroom_snapshot_catch_ups_total") >= 1
    # A header and five records.
    assert before.sum("strongroom_audit_lines_written_total") == 6
    (segment,) = (bench.folder / "audit").iterdir()
    assert before.sum("strongroom_audit_written_bytes_total") == segment.stat().st_size
    assert before.sum("strongroom_audit_flush_duration_seconds_count") == 1
    assert before.sum("strongroom_audit_writable") == 1
    assert before.sum("strongroom_audit_lines_waiting") == 0
    assert before.sum("strongroom_audit_segment_begun_timestamp_seconds") == bench.clock.now()
    assert before.sum("strongroom_audit_last_checkpoint_timestamp_seconds") == 0
    assert before.sum("strongroom_store_transaction_duration_seconds_count") >= 1
    assert before.sum("strongroom_store_reads_total") >= 1
    assert before.sum("strongroom_access_log_lines_lost_total") == 0

    bench.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    bench.clock.advance(8 * 86_400)
    bench.deployment.keeper.run()
    after = show(bench, measurements)
    assert after.sum("strongroom_keeper_rounds_total") == 1
    assert after.sum("strongroom_keeper_keys_total", action="deleted") == 1
    assert after.sum("strongroom_keeper_last_round_timestamp_seconds") == bench.clock.now()
    assert after.sum("strongroom_audit_last_checkpoint_timestamp_seconds") == bench.clock.now()
    assert after.sum("strongroom_keeper_failures_total") == 0


def test_a_log_that_cannot_be_written_shows(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    log = bench.deployment.log
    bench.call("ListKeys")

    def full(_file: int, _data: bytes, _offset: int) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", full)
        for _ in range(2):
            log.append(b"{}")
            with pytest.raises(errors.KMSInternalException):
                log.flush()
        shown = show(bench, Measurements())
        assert shown.sum("strongroom_audit_writable") == 0
        assert shown.sum("strongroom_audit_flush_failures_total") == 2
        assert shown.sum("strongroom_audit_lines_waiting") == 2
    log.flush()
    shown = show(bench, Measurements())
    assert shown.sum("strongroom_audit_writable") == 1
    assert shown.sum("strongroom_audit_lines_waiting") == 0


def test_names_are_as_prometheus_wants_them_and_documented(bench: Bench) -> None:
    measurements = Measurements()
    measurements.note((TABLE["Encrypt"], SUCCESS, 1))
    measurements.answered_no_call(404)
    shown = show(bench, measurements)
    ours = [family for name, family in shown.families.items() if name.startswith("strongroom_")]
    documented = set(re.findall(r"^\| `(strongroom_\w+)`", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))
    assert documented == {f"{each.name}_total" if each.type == "counter" else each.name for each in ours} | {
        "strongroom_worker_up"
    }
    for family in ours:
        assert family.documentation.endswith(".")
        if family.type == "histogram":
            assert family.name.endswith("_seconds")
        for sample in family.samples:
            assert sample.labels["worker"] == "w0"
            assert set(sample.labels) <= {
                *("worker", "service", "operation", "outcome", "status", "lane", "kind", "action", "le", "version")
            }
    assert {"process_resident_memory_bytes", "python_gc_collections", "python_info"} <= shown.families.keys()


def test_there_are_only_so_many_outcomes() -> None:
    codes = {each.code for each in vars(errors).values() if isinstance(each, type) and issubclass(each, KmsError)}
    assert all(re.fullmatch(r"[A-Za-z]+", code) for code in codes)
    assert SUCCESS not in codes
