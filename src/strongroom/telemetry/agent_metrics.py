"""The metrics of the agent of a node: how it keeps the lease."""

from collections.abc import Iterator

from prometheus_client import Metric

from strongroom.problems import AGENT, Problems
from strongroom.store.counters import AgentCounters
from strongroom.telemetry.families import ProcessMetrics, counter, gauge, histogram, labelled
from strongroom.telemetry.metrics import open_problems


class AgentMetrics:
    """Collects the metrics of the agent, which has this process to itself."""

    worker = AGENT

    def __init__(self, node: str, counters: AgentCounters, problems: Problems) -> None:
        self.node = node
        self._counters = counters
        self._problems = problems
        self._process = ProcessMetrics()

    def collect(self) -> list[Metric]:
        """Return every metric family with its present samples."""
        found = [*_lease(self._counters), *open_problems(self._problems), *self._process.collect()]
        return labelled(found, self.worker, self.node)


def _lease(measured: AgentCounters) -> Iterator[Metric]:
    renewals = {(outcome,): n for outcome, n in measured.renewals.items()}
    yield counter("strongroom_lease_renewals", "Attempts to renew the lease, by outcome.", renewals, ["outcome"])
    about = "Renewing the lease, with publishing what others have changed."
    yield histogram("strongroom_lease_renewal_duration_seconds", about, {(): measured.renewal_duration})
    yield counter("strongroom_lease_joins", "How often this node has joined the others.", {(): measured.joins})
    yield counter("strongroom_changes_published", "Changes that workers were told of.", {(): measured.published})
    about = "How often workers had to forget everything: at a start of the agent, or when the database was rolled back."
    yield counter("strongroom_changes_forgotten", about, {(): measured.resets})
    yield gauge("strongroom_nodes", "Nodes that share the database, at the last renewal.", {(): measured.members})
    yield counter("strongroom_agent_connections", "Connections that the agent has made.", {(): measured.connections})
    about = "Reads and writes that failed because of the database, by kind of fault."
    failures = {(kind.value,): n for kind, n in measured.faults.items()}
    yield counter("strongroom_store_failures", about, failures, ["kind"])
