"""The metrics of one worker under Prometheus's naming rules, collected from its counters for each scrape.

Sources: Prometheus, "Metric and label naming" and "Exposition formats".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Protocol

import msgspec
from prometheus_client import Metric

from strongroom.audit.sink import AuditSink
from strongroom.events.sender import Status as EventStatus
from strongroom.problems import Problems
from strongroom.service.counters import CallCounters, KeeperCounters
from strongroom.shipping.progress import Status
from strongroom.snapshot.snapshot import Snapshot
from strongroom.store.counters import NodeMeasures, StoreCounters
from strongroom.telemetry.families import ProcessMetrics, counter, gauge, histogram, labelled

_CALL = ["service", "operation"]


class AccessLines(Protocol):
    """The access log, as metrics read it."""

    @property
    def lost(self) -> int:
        """The number of lines that were dropped because the queue was full."""
        ...


class Sources(msgspec.Struct, frozen=True):
    """The sources of a worker's metrics, and the names of the worker and its node."""

    worker: str
    node: str
    counters: CallCounters
    keeper: KeeperCounters
    store: StoreCounters
    log: AuditSink
    snapshot: Snapshot
    problems: Problems
    access_log: AccessLines | None = None
    proxy_calls: Callable[[], Mapping[tuple[str, str], int]] = dict
    """Returns how many calls of external key store proxies there were, by what was called and how it ended."""
    shipping: Callable[[], Iterable[Status]] = tuple
    """Returns how shipping to each destination of the audit log goes; of one worker of a node only."""
    events: Callable[[], Iterable[EventStatus]] = tuple
    """Returns how sending to each destination of events goes; of one worker of a node only."""
    certificate_expires: Callable[[], float | None] = lambda: None
    """Returns when the certificate of this worker expires, in epoch seconds; None without TLS."""


class WorkerMetrics:
    """Collects the metrics of this process, each sample with the names of worker and node."""

    def __init__(self, sources: Sources) -> None:
        self.worker, self.node = sources.worker, sources.node
        self._sources = sources
        self._process = ProcessMetrics()

    def collect(self) -> list[Metric]:
        """Return every metric family with its present samples."""
        sources = self._sources
        found = list(
            chain(
                _calls(sources.counters),
                _connections(sources.counters),
                _snapshot(sources.snapshot),
                _audit(sources.log, sources.counters),
                _shipping(sources.shipping()),
                _events(sources.events()),
                _keeper(sources.keeper),
                _store(sources.store),
                _among_nodes(sources.store.measure_node(), sources.counters),
                open_problems(sources.problems),
                _xks_proxies(sources.proxy_calls()),
                _access_log(sources.access_log),
                _certificate(sources.certificate_expires()),
                self._process.collect(),
            )
        )
        return labelled(found, self.worker, self.node)


def _calls(counters: CallCounters) -> Iterator[Metric]:
    found, _ = counters.read()
    calls = {(each.service, each.name): counted for each, counted in found.items()}
    outcomes = {(*call, code): n for call, counted in calls.items() for code, n in counted.outcomes.copy().items()}
    yield counter("strongroom_requests", "Calls by how they ended.", outcomes, [*_CALL, "outcome"])
    durations = {call: counted.durations for call, counted in calls.items()}
    about = "From the whole request to its answer, audit record written."
    yield histogram("strongroom_request_duration_seconds", about, durations, _CALL)
    refused = {(str(status),): n for status, n in counters.refused_requests.copy().items()}
    about = "HTTP requests refused before they named an operation, by status."
    yield counter("strongroom_http_requests_refused", about, refused, ["status"])


def _connections(counters: CallCounters) -> Iterator[Metric]:
    about = "Connections that were accepted."
    yield counter("strongroom_connections_accepted", about, {(): counters.accepted_connections})
    yield gauge("strongroom_connections_open", "Connections open now.", {(): len(counters.connections)})
    if counters.failed_handshakes:
        failed = {(str(reason),): n for reason, n in counters.failed_handshakes.items()}
        about = "TLS handshakes that failed, by reason."
        yield counter("strongroom_tls_handshakes_failed", about, failed, ["reason"])
    lanes: dict[tuple[str, ...], float] = {}
    for (lane, _), calls in counters.in_work.items():
        lanes[lane.name.lower(),] = lanes.get((lane.name.lower(),), 0) + calls
    yield gauge("strongroom_lane_requests_in_work", "Calls in a lane now, waiting or at work.", lanes, ["lane"])


def _snapshot(snapshot: Snapshot) -> Iterator[Metric]:
    held = {(kind,): n for kind, n in snapshot.sizes().items()}
    yield gauge("strongroom_snapshot_held", "What is held in memory, by kind.", held, ["kind"])
    read = {(kind,): n for kind, n in snapshot.misses().items()}
    yield counter("strongroom_snapshot_misses", "What had to be read from the store, by kind.", read, ["kind"])
    about = "How often another commit was found, and what it changed forgotten."
    yield counter("strongroom_snapshot_catch_ups", about, {(): snapshot.catch_ups})


def _audit(log: AuditSink, counters: CallCounters) -> Iterator[Metric]:
    measured = log.measure()
    about = "Lines written: records, headers and checkpoints."
    yield counter("strongroom_audit_lines_written", about, {(): measured.lines})
    yield counter("strongroom_audit_written_bytes", "What those lines take.", {(): measured.size})
    about = "Writing what waits, one flush for all calls of a moment."
    yield histogram("strongroom_audit_flush_duration_seconds", about, {(): counters.read()[1]})
    yield counter("strongroom_audit_flush_failures", "Flushes that failed.", {(): measured.failures})
    yield counter("strongroom_audit_lines_lost", "Lines that found no place to wait.", {(): measured.lost})
    yield gauge("strongroom_audit_lines_waiting", "Lines that wait to be written.", {(): measured.waiting})
    about = "1, or 0 while the log cannot be written and calls are refused."
    yield gauge("strongroom_audit_writable", about, {(): not measured.failing})
    about = "When the newest segment was begun; 0 for not yet."
    yield gauge("strongroom_audit_segment_begun_timestamp_seconds", about, {(): measured.segment_begun})
    about = "When the chain was signed last; 0 for not yet."
    yield gauge("strongroom_audit_last_checkpoint_timestamp_seconds", about, {(): measured.last_checkpoint})


def _shipping(statuses: Iterable[Status]) -> Iterator[Metric]:
    found = {(each.to,): each for each in statuses}
    if not found:
        return
    label = ["destination"]
    about = "Lines that a destination of the audit log has taken since its process was started."
    yield counter("strongroom_audit_shipped_lines", about, {to: each.lines for to, each in found.items()}, label)
    about = "What those lines take."
    yield counter("strongroom_audit_shipped_bytes", about, {to: each.size for to, each in found.items()}, label)
    about = "Attempts to ship to it that failed."
    yield counter("strongroom_audit_ship_failures", about, {to: each.failures for to, each in found.items()}, label)
    about = "1, or 0 while attempts to ship to it fail."
    yield gauge("strongroom_audit_ship_working", about, {to: not each.failing for to, each in found.items()}, label)
    about = "How long the oldest line waits that it lacks."
    yield gauge("strongroom_audit_ship_lag_seconds", about, {to: each.lag for to, each in found.items()}, label)
    about = "When it took a line last; 0 for not since its process was started."
    last = {to: each.last_taken for to, each in found.items()}
    yield gauge("strongroom_audit_ship_last_taken_timestamp_seconds", about, last, label)
    about = "When the process that ships told of this last; it does every second."
    at = {to: each.at for to, each in found.items()}
    yield gauge("strongroom_audit_ship_status_timestamp_seconds", about, at, label)


def _events(statuses: Iterable[EventStatus]) -> Iterator[Metric]:
    found = {(each.to,): each for each in statuses}
    if not found:
        return
    label = ["destination"]
    about = "Events that a destination has taken since its process was started."
    yield counter("strongroom_events_sent", about, {to: each.sent for to, each in found.items()}, label)
    about = "Attempts to send an event to it that failed."
    yield counter("strongroom_events_send_failures", about, {to: each.failures for to, each in found.items()}, label)
    about = "Events that were given up: too many waited, or one was not taken within three days."
    yield counter("strongroom_events_dropped", about, {to: each.dropped for to, each in found.items()}, label)
    about = "Events that wait for it."
    yield gauge("strongroom_events_waiting", about, {to: each.waiting for to, each in found.items()}, label)
    about = "1, or 0 while attempts to send to it fail."
    yield gauge("strongroom_events_working", about, {to: not each.failing for to, each in found.items()}, label)
    about = "When the process that sends told of this last; it does every second."
    at = {to: each.at for to, each in found.items()}
    yield gauge("strongroom_events_status_timestamp_seconds", about, at, label)


def _certificate(expires: float | None) -> Iterator[Metric]:
    if expires is not None:
        about = "When the TLS certificate that new connections get expires."
        yield gauge("strongroom_tls_certificate_expiry_timestamp_seconds", about, {(): expires})


def _keeper(measured: KeeperCounters) -> Iterator[Metric]:
    yield counter("strongroom_keeper_rounds", "Rounds of the keeper.", {(): measured.rounds})
    about = "What the keeper could not finish, and will try again."
    yield counter("strongroom_keeper_failures", about, {(): measured.failures})
    about = "When the last round ended; 0 for not yet."
    yield gauge("strongroom_keeper_last_round_timestamp_seconds", about, {(): measured.last_end})
    about = "How long the last round took."
    yield gauge("strongroom_keeper_last_round_duration_seconds", about, {(): measured.last_duration})
    about = "How far the wall clock is ahead of the time that has passed by the kernel's count."
    yield gauge("strongroom_clock_difference_seconds", about, {(): measured.clock_difference})
    about = "How far the wall clock is ahead of the clock of the database, where that has one."
    yield gauge("strongroom_database_clock_difference_seconds", about, {(): measured.database_clock_difference})
    about = "Erased key material that its token or cluster still had, and that was destroyed later."
    yield counter("strongroom_keeper_destructions", about, {(): measured.destroyed})
    about = "Erased key material that its token or cluster still has."
    yield gauge("strongroom_destructions_left", about, {(): measured.destructions_left})
    about = "Since when the oldest of that could not be destroyed; 0 for none."
    yield gauge("strongroom_destructions_left_since_timestamp_seconds", about, {(): measured.destructions_since})
    keys = {(action,): n for action, n in measured.keys.items()}
    about = "1, or 0 if the proxy of an external key store was not healthy when it was asked last."
    healthy = {(store_id,): each for store_id, each in measured.healthy_proxies.copy().items()}
    yield gauge("strongroom_xks_proxy_healthy", about, healthy, ["custom_key_store"])
    yield counter("strongroom_keeper_keys", "Keys rotated, expired or deleted when due, or repaired.", keys, ["action"])


def _store(measured: StoreCounters) -> Iterator[Metric]:
    yield counter("strongroom_store_reads", "Reads of the database.", {(): measured.reads})
    about = "Write transactions, waiting for other writers included."
    yield histogram("strongroom_store_transaction_duration_seconds", about, {(): measured.transactions})
    about = "Reads and writes that failed because of the database, by kind of fault."
    yield counter("strongroom_store_failures", about, {(k.value,): n for k, n in measured.faults.items()}, ["kind"])
    about = "Size of the write-ahead log at the last round of maintenance."
    yield gauge("strongroom_store_wal_bytes", about, {(): measured.log_size})
    about = "How long erased key material has been in the write-ahead log because of a reader; 0 if none is."
    yield gauge("strongroom_store_erasure_waiting_seconds", about, {(): measured.erasure_waits})
    checks = {(outcome,): n for outcome, n in measured.checks.items()}
    yield counter("strongroom_store_checks", "Checks of the whole database while serving.", checks, ["outcome"])
    about = "How long the last of them took; 0 for not yet."
    yield gauge("strongroom_store_check_duration_seconds", about, {(): measured.check_duration})
    about = "Records that are not used, because they failed authentication or cannot be read, as this worker knows."
    yield gauge("strongroom_quarantined_records", about, {(): measured.quarantined})


def _among_nodes(measured: NodeMeasures | None, counters: CallCounters) -> Iterator[Metric]:
    if measured is None:
        return
    about = "For how long this node may serve without reaching the database; 0 if it has no lease."
    yield gauge("strongroom_lease_remaining_seconds", about, {(): measured.lease_left})
    about = "Requests that waited for a lease of the node without success, or could not wait because too many did."
    yield counter("strongroom_lease_missing", about, {(): counters.refused_without_lease})
    about = "Reads that were discarded, because the server which answered is not the current primary."
    yield counter("strongroom_store_outdated_reads", about, {(): measured.outdated_reads})
    about = "From a commit until no node serves what was before it."
    yield histogram("strongroom_settle_duration_seconds", about, {(): measured.settling})
    about = "Changes that were answered because the lease of a node had ended, not because it had acknowledged them."
    yield counter("strongroom_settled_by_waiting", about, {(): measured.waited_out})
    yield gauge("strongroom_settling", "Changes that wait for other nodes now.", {(): measured.unsettled})
    about = "How often the nodes that have to acknowledge a change could not be read."
    yield counter("strongroom_settle_failures", about, {(): measured.settle_failures})
    about = "Connections to the database that are in use now."
    yield gauge("strongroom_store_connections_in_use", about, {(): measured.connections_in_use})
    about = "Waiting for a free connection to the database, connecting included."
    yield histogram("strongroom_store_connection_wait_seconds", about, {(): measured.connection_waits})


def open_problems(problems: Problems) -> Iterator[Metric]:
    """Yield the open problems of this process."""
    about = "1 for each open problem that the log and /readyz describe."
    yield gauge("strongroom_problem", about, {(each.subject.value,): 1 for each in problems.current()}, ["subject"])


def _xks_proxies(calls: Mapping[tuple[str, str], int]) -> Iterator[Metric]:
    about = "Calls of external key store proxies, by what was called and how it ended."
    yield counter("strongroom_xks_proxy_calls", about, calls, ["call", "outcome"])


def _access_log(lines: AccessLines | None) -> Iterator[Metric]:
    if lines is not None:
        about = "Lines of the access log that were dropped, because too many waited."
        yield counter("strongroom_access_log_lines_lost", about, {(): lines.lost})
