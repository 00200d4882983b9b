"""The agent of a node whose database is shared with other nodes: it keeps the lease under which the workers serve.

The supervisor starts it before the workers, with its configuration on standard input, and stops it after them by
closing that. The kernel kills it when its supervisor ends.
"""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import click

from strongroom.assembly.databases.chosen import postgresql_of
from strongroom.assembly.node import require_node_id
from strongroom.assembly.node_agent import NodeAgent
from strongroom.cli.supervised_process import SupervisedProcess
from strongroom.clock import SystemClock
from strongroom.descriptors import readable
from strongroom.entropy import system_entropy
from strongroom.node_id import NodeId
from strongroom.problems import AGENT
from strongroom.settings import Settings
from strongroom.supervisor.process_slot import HEARTBEAT_INTERVAL
from strongroom.telemetry.agent_metrics import AgentMetrics
from strongroom.telemetry.logs import name_node, set_log_level
from strongroom.telemetry.metrics_meeting import MetricsPeer, meeting_of

logger = logging.getLogger(__name__)

_PATIENCE = 5.0
"""How long a stop waits for the database, seconds."""


@click.command()
def agent() -> None:
    """Keep the lease of this node until standard input ends."""
    # Workers that still answer need it, when SIGTERM is sent to all processes of the server at once.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    process = SupervisedProcess()
    with process.reporting_failure():
        settings = process.config.settings
        log = process.start(AGENT)
        clock = SystemClock()
        database = postgresql_of(settings, clock, system_entropy)
        node = require_node_id(database.folder)
        name_node(log, node)
        node_agent = NodeAgent(settings, node, database.connect_member, clock, system_entropy)
        with _showing_metrics(settings, node, node_agent):
            node_agent.start()
            _watch(process, node_agent)
            node_agent.stop(_PATIENCE)


@contextmanager
def _showing_metrics(settings: Settings, node: NodeId, node_agent: NodeAgent) -> Iterator[None]:
    """Give the workers the metrics of this process, if they serve metrics; raises OSError if that is not possible."""
    if settings.metrics_listen is None:
        yield
        return
    own = AgentMetrics(node, node_agent.counters, node_agent.problems)
    with MetricsPeer(own, meeting_of(settings, settings.workers)).serving():
        yield


def _watch(process: SupervisedProcess, node_agent: NodeAgent) -> None:
    """Send heartbeats as long as the agent goes on, and give it new settings, until the supervisor ends it."""
    settings = process.settings
    while not settings.ended:
        node_agent.look()
        if node_agent.goes_on():
            process.send_heartbeat()
        found = settings.next() if readable([settings.descriptor], HEARTBEAT_INTERVAL) else None
        if found is not None:
            set_log_level(found.settings)
            node_agent.renew(found.settings)
