"""A node that does the keeper's work on a shared database, without a server: its calls come from the test.

As a program, it does rounds until it is ended: ``python keeper_node.py DATA STORE TOKEN``. Each node looks for what is
due in each round, as if it never was another's turn.
"""

import os
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from msgspec.structs import replace
from typing_extensions import override

from local_deployment import LocalDeployment
from softhsm import MODULE
from strongroom.assembly.audit_log import open_audit_key, open_audit_log
from strongroom.assembly.clock_record import ClockFiles
from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.deployment import ready_folder
from strongroom.assembly.event_chores import settling_of
from strongroom.assembly.node import require_node_id
from strongroom.assembly.open_folder import OpenFolder
from strongroom.audit.writer_id import WriterId
from strongroom.clock import DAY, Clock, SystemClock
from strongroom.entropy import system_entropy
from strongroom.event_destinations import EventDestination
from strongroom.maintenance.clock_watch import reading_of
from strongroom.maintenance.keeper import Keeper
from strongroom.problems import Problems
from strongroom.service.audit_trail import AuditTrail
from strongroom.service.credentials import Credentials
from strongroom.service.pipeline import Pipeline
from strongroom.service.unauthenticated import RecordRateLimit
from strongroom.settings import CloudHsmCluster, Settings
from strongroom.usage.access_key_usage import AccessKeyUsage

REGIONS = ("us-east-1", "eu-west-1")
CLUSTER = "cluster-aaaaaaaaaaa"
_NO_TURN = 0.001


class ClockAhead(SystemClock):
    """The clock of the system, with a wall clock that is some days ahead."""

    def __init__(self, days: float) -> None:
        self._days = days

    @override
    def now(self) -> float:
        return SystemClock.now() + self._days * DAY


class KeeperNode(LocalDeployment):
    """A node of its own data folder. ``call`` makes calls of KMS by its clock, and ``keep`` does a round."""

    def __init__(
        self, folder: Path, store: str, token: str, clock: Clock, *, first: bool = False, believed: bool = True
    ) -> None:
        """Lock the folder and open the database; ``token`` is the label of the only cluster's.

        If its clock is ``believed``, dates are those of this clock, however wrong that is.
        """
        cluster = CloudHsmCluster(id=CLUSTER, module=str(MODULE), token=token)
        self.folder = folder
        self.settings = settings = Settings(
            data=str(folder),
            store=store,
            regions=REGIONS,
            cloudhsm_clusters=(cluster,),
            events=(EventDestination("file:/nowhere"),),
            events_notice_days=(),
        )
        with ExitStack() as undo:
            undo.callback(os.close, DataFolder(folder).lock())
            ready_folder(settings, clock, system_entropy, first=first)
            self.problems = problems = Problems()
            opened = OpenFolder(settings, clock, system_entropy, problems)
            undo.callback(opened.close)
            key = open_audit_key(opened.store, opened.backends.secrets, system_entropy, opened.folder.audit)
            writer = WriterId(require_node_id(opened.folder), 0).name
            log = open_audit_log(opened.folder.audit, writer, settings, opened.store, key, clock, problems=problems)
            undo.callback(log.close)
            self._undo = undo.pop_all()
        trail = AuditTrail(log, opened.entropy)
        self.watch = opened.clock_watch
        backends = replace(opened.backends, latest_time=lambda now: now) if believed else opened.backends
        usage = AccessKeyUsage(opened.store)
        pipeline = Pipeline(backends, Credentials(backends.snapshot), None, trail, usage, RecordRateLimit())
        self.keeper = Keeper(
            opened.backends,
            trail,
            log,
            clock,
            opened.clock_watch,
            usage,
            domain_key_objects=opened.domain_keys,
            problems=problems,
            holder=folder.name,
            turn=lambda: _NO_TURN,
            settle_events=settling_of(settings, opened.store, clock),
        )
        self.store = opened.store
        self.opened = opened
        self.clock: Any = clock
        self.deployment: Any = SimpleNamespace(
            service=SimpleNamespace(pipeline=pipeline), log=log, keeper=self.keeper, backends=backends
        )

    def close(self) -> None:
        """End the chain of the audit log, and close all."""
        self._undo.close()


def main() -> None:
    """Do rounds until the process is ended."""
    data, store, token = sys.argv[1:]
    with closing(KeeperNode(Path(data), store, token, SystemClock())) as node:
        # The keys were made by a clock of long ago, so this one would be doubted.
        ClockFiles(node.opened.folder).accept(reading_of(node.clock))
        while True:
            node.keeper.run()
            time.sleep(0.02)


if __name__ == "__main__":
    main()
