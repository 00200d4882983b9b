"""A node on PostgreSQL within the test's process: an agent on a thread, and a deployment as a worker opens it."""

import os
from pathlib import Path
from typing import Any, cast

from local_deployment import LocalDeployment
from postgresql import SERVER, Cluster
from strongroom.assembly.databases.chosen import postgresql_of
from strongroom.assembly.deployment import Deployment, take_folder
from strongroom.assembly.initialization import initialize
from strongroom.assembly.node import require_node_id
from strongroom.assembly.node_agent import NodeAgent
from strongroom.assembly.unsealing import Unsealing
from strongroom.clock import ManualClock, SystemClock
from strongroom.entropy import system_entropy
from strongroom.settings import Settings

LEASE = 2.0


class NodeDeployment(LocalDeployment):
    """Initializes a database, and serves it as its only node, with an agent beside one worker.

    ``stop_agent`` and ``start_agent`` are for faults.
    """

    def __init__(self, folder: Path, cluster: Cluster, database: str, **more: Any) -> None:
        self.folder = folder
        clock = SystemClock()
        self.clock = cast("ManualClock", clock)
        self.settings = settings = Settings(
            data=str(folder),
            store=cluster.address(database, SERVER),
            lease=LEASE,
            regions=("us-east-1", "eu-west-1"),
            **more,
        )
        initialize(settings, clock, system_entropy, Unsealing(settings, system_entropy))
        self._database = postgresql_of(settings, clock, system_entropy)
        self._node = require_node_id(self._database.folder)
        self._lock = take_folder(settings, clock, system_entropy)
        self.start_agent()
        self.deployment = Deployment(settings, clock, system_entropy, worker=0)

    def start_agent(self) -> None:
        """Start an agent, as the supervisor does."""
        self._agent = NodeAgent(self.settings, self._node, self._database.connect_member, SystemClock(), system_entropy)
        self._agent.start()

    def stop_agent(self) -> None:
        """End the agent, and with it the lease."""
        self._agent.stop(10)
        self._agent._file.close()

    def close(self) -> None:
        """Close everything."""
        self.deployment.close()
        self.stop_agent()
        os.close(self._lock)
