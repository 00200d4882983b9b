"""The metrics of one worker, in Prometheus's text format."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from local_deployment import LocalDeployment, Refused
from scrapes import ScrapedMetrics
from strongroom import __version__, errors
from strongroom.clock import ManualClock
from strongroom.errors import KmsError
from strongroom.events.sender import Status as EventStatus
from strongroom.histogram import Histogram
from strongroom.http.failed_handshakes import Reason
from strongroom.http.trusted_proxies import TrustedProxies
from strongroom.operations.kms.table import TABLE
from strongroom.operations.lanes import Lane
from strongroom.problems import Problems
from strongroom.service.counters import SUCCESS, CallCounters
from strongroom.shipping.progress import Status
from strongroom.store.counters import AgentCounters, NodeMeasures
from strongroom.telemetry.access_log import AccessLog
from strongroom.telemetry.agent_metrics import AgentMetrics
from strongroom.telemetry.log_queue import LogQueue
from strongroom.telemetry.metrics import Sources, WorkerMetrics

DOCUMENT = Path(__file__).parents[3] / "docs" / "operations.md"


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock)
    yield local
    local.deployment.close()


def sources_of(local: LocalDeployment, counters: CallCounters, worker: str = "w0") -> Sources:
    deployment = local.deployment
    access_log = AccessLog(TrustedProxies(()), LogQueue(2))
    return Sources(
        worker,
        deployment.node,
        counters,
        deployment.keeper.counters,
        deployment.store_counters,
        deployment.log,
        deployment.backends.snapshot,
        deployment.problems,
        access_log,
        shipping=lambda: [Status("folder:/mnt/audit", lines=3, lag=1.5)],
        events=lambda: [EventStatus("file:/var/log/events", sent=3, waiting=2)],
        certificate_expires=lambda: 1_800_000_000.0,
    )


def show(local: LocalDeployment, counters: CallCounters) -> ScrapedMetrics:
    registry = CollectorRegistry()
    registry.register(WorkerMetrics(sources_of(local, counters)))
    return ScrapedMetrics(generate_latest(registry).decode())


def test_calls_are_counted_by_outcome(local: LocalDeployment) -> None:
    counters = CallCounters()
    for seconds in (0.0001, 0.0002, 3.0):
        counters.note((TABLE["Encrypt"], SUCCESS, seconds))
    counters.note((TABLE["Encrypt"], "AccessDeniedException", 0.0002))
    counters.answered_no_call(404)
    counters.answered_no_call(200)
    shown = show(local, counters)
    call = {"service": "kms", "operation": "Encrypt", "worker": "w0"}
    assert shown.sum("strongroom_requests_total", outcome="success", **call) == 3
    assert shown.sum("strongroom_requests_total", outcome="AccessDeniedException", **call) == 1
    assert shown.sum("strongroom_request_duration_seconds_count", **call) == 4
    assert shown.sum("strongroom_request_duration_seconds_sum", **call) == pytest.approx(3.0005)
    for bound, count in (("0.0001", 1), ("0.00025", 3), ("2.5", 3), ("5.0", 4), ("+Inf", 4)):
        assert shown.sum("strongroom_request_duration_seconds_bucket", le=bound, **call) == count
    assert shown.sum("strongroom_http_requests_refused_total", status="404") == 1
    assert shown.labels("strongroom_http_requests_refused_total", "status") == {"404"}


def test_the_counters_of_all_parts_are_exported(local: LocalDeployment) -> None:
    key_id = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    for _ in range(3):
        local.call("Encrypt", KeyId=key_id, Plaintext="eA==")
    with pytest.raises(Refused):
        local.call("Encrypt", KeyId="alias/none", Plaintext="eA==")
    counters = CallCounters()
    counters.connections = {1, 2}
    counters.note((None, "", 0.001))
    counters.in_work = {(Lane.WRITING, True): 3, (Lane.WRITING, False): 1}
    before = show(local, counters)
    assert before.sum("strongroom_build_info", version=__version__, worker="w0") == 1
    assert before.sum("strongroom_connections_open") == 2
    assert before.sum("strongroom_lane_requests_in_work", lane="writing") == 4
    assert before.sum("strongroom_snapshot_held", kind="key") == 1
    assert before.sum("strongroom_snapshot_misses_total", kind="key") == 1
    assert before.sum("strongroom_snapshot_misses_total", kind="alias") == 1
    assert before.sum("strongroom_snapshot_catch_ups_total") >= 1
    # A header and five records.
    assert before.sum("strongroom_audit_lines_written_total") == 6
    (segment,) = (local.folder / "audit").glob("*.jsonl")
    assert before.sum("strongroom_audit_written_bytes_total") == segment.stat().st_size
    assert before.sum("strongroom_audit_flush_duration_seconds_count") == 1
    assert before.sum("strongroom_audit_writable") == 1
    assert before.sum("strongroom_audit_lines_waiting") == 0
    assert before.sum("strongroom_audit_segment_begun_timestamp_seconds") == local.clock.now()
    assert before.sum("strongroom_audit_last_checkpoint_timestamp_seconds") == 0
    assert before.sum("strongroom_store_transaction_duration_seconds_count") >= 1
    assert before.sum("strongroom_store_reads_total") >= 1
    assert before.sum("strongroom_access_log_lines_lost_total") == 0

    local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    local.clock.advance(8 * 86_400)
    local.deployment.keeper.run()
    after = show(local, counters)
    assert after.sum("strongroom_keeper_rounds_total") == 1
    assert after.sum("strongroom_keeper_keys_total", action="deleted") == 1
    assert after.sum("strongroom_keeper_last_round_timestamp_seconds") == local.clock.now()
    assert after.sum("strongroom_audit_last_checkpoint_timestamp_seconds") == local.clock.now()
    assert after.sum("strongroom_keeper_failures_total") == 0


def test_an_audit_log_that_cannot_be_written_is_visible_in_the_metrics(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = local.deployment.log
    local.call("ListKeys")

    def full(_file: int, _data: bytes, _offset: int) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", full)
        for _ in range(2):
            log.append(b"{}")
            with pytest.raises(errors.KMSInternalException):
                log.flush()
        shown = show(local, CallCounters())
        assert shown.sum("strongroom_audit_writable") == 0
        assert shown.sum("strongroom_audit_flush_failures_total") == 2
        assert shown.sum("strongroom_audit_lines_waiting") == 2
    log.flush()
    shown = show(local, CallCounters())
    assert shown.sum("strongroom_audit_writable") == 1
    assert shown.sum("strongroom_audit_lines_waiting") == 0


def test_metric_names_follow_prometheus_conventions_and_are_documented(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = NodeMeasures(
        lease_left=9.5,
        outdated_reads=2,
        settling=Histogram(),
        waited_out=3,
        unsettled=4,
        settle_failures=5,
        connections_in_use=6,
        connection_waits=Histogram(),
    )
    monkeypatch.setattr(local.deployment.store_counters, "measure_node", lambda: measured)
    counters = CallCounters()
    counters.note((TABLE["Encrypt"], SUCCESS, 1))
    counters.answered_no_call(404)
    counters.failed_handshakes = {"not_tls": 1}
    registry = CollectorRegistry()
    registry.register(AgentMetrics("a1b2c3d4e5f6", AgentCounters(), Problems()))
    of_agent = ScrapedMetrics(generate_latest(registry).decode()).families
    found = [(name, family, "agent") for name, family in of_agent.items()]
    found += [(name, family, "w0") for name, family in show(local, counters).families.items()]
    ours = [family for name, family, _ in found if name.startswith("strongroom_")]
    workers = {id(family): worker for _, family, worker in found}
    documented = set(re.findall(r"^\| `(strongroom_\w+)`", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))
    assert documented == {f"{each.name}_total" if each.type == "counter" else each.name for each in ours} | {
        "strongroom_worker_up"
    }
    for family in ours:
        assert family.documentation.endswith(".")
        if family.type == "histogram":
            assert family.name.endswith("_seconds")
        for sample in family.samples:
            assert sample.labels["worker"] == workers[id(family)]
            assert set(sample.labels) <= {
                *(
                    "worker",
                    "node",
                    "destination",
                    "service",
                    "operation",
                    "outcome",
                    "status",
                    "reason",
                    "lane",
                    "kind",
                    "action",
                    "le",
                    "version",
                )
            }
    assert {"process_resident_memory_bytes", "python_gc_collections", "python_info"} <= {name for name, _, _ in found}


def test_outcomes_are_error_codes_of_letters_only() -> None:
    codes = {each.code for each in vars(errors).values() if isinstance(each, type) and issubclass(each, KmsError)}
    assert all(re.fullmatch(r"[A-Za-z]+", code) for code in codes)
    assert SUCCESS not in codes


def test_labels_and_their_fixed_values_are_documented(local: LocalDeployment) -> None:
    counters = CallCounters()
    counters.failed_handshakes = dict.fromkeys(Reason, 1)
    page = DOCUMENT.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(strongroom_\w+)` \|(.*?)\| (.*) \|$", page, re.MULTILINE)
    documented = {
        name.removesuffix("_total"): (set(re.findall(r"`(\w+)`", labels)), text) for name, labels, text in rows
    }
    for name, family in show(local, counters).families.items():
        if not name.startswith("strongroom_"):
            continue
        labels, text = documented[name]
        # The kinds of faults have a table of their own.
        text = page if name == "strongroom_store_failures" else text
        for sample in family.samples:
            assert set(sample.labels) - {"worker", "node", "le"} == labels
            fixed = {value for label, value in sample.labels.items() if label in {"lane", "kind", "action", "reason"}}
            assert not [value for value in fixed if f"`{value}`" not in text], name
