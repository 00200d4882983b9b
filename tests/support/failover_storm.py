"""A failover in a storm: the primary is frozen, its synchronous standby promoted, and the former primary comes back.

It does not know that it is no primary any more. Some agents and workers look for a database there first.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec
import psycopg
from typing_extensions import override

from campaign import Random, seeded
from node_storm import LEASE, Outcome, Storm, StormRules
from postgresql import Cluster
from storm_processes import NodeSettings
from strongroom.clock import SystemClock
from strongroom.store.postgresql.member_connection import MemberConnection
from strongroom.store.postgresql.settler import Settler

_FROZEN = 6 * LEASE
_TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'strongroom' "
    "AND datname = current_database()"
)


class FailoverRules(msgspec.Struct, frozen=True):
    """What the nodes keep to. The controls break one."""

    checks_fills: bool = True
    renews_by_commits: bool = True


class FailoverStorm(Storm):
    """Nodes of which the first reads, and the second also renews, where the former primary is, if it can."""

    def __init__(
        self, former: Cluster, standby: Cluster, database: str, scratch: Path, rules: FailoverRules, random: Random
    ) -> None:
        super().__init__(former, database, scratch, StormRules(workers=1, ignored=0.0), random)
        self._standby = standby
        self._kept = rules

    @override
    def _settings(self, number: int, port: int) -> NodeSettings:
        former_first = self._both(self._cluster.port, self._standby.port)
        standby_first = self._both(self._standby.port, self._cluster.port)
        return msgspec.structs.replace(
            super()._settings(number, port),
            address=former_first if number == 1 else standby_first,
            read_address=standby_first if number == 2 else former_first,
            checks_fills=self._kept.checks_fills,
            renews_by_commits=self._kept.renews_by_commits,
        )

    def _both(self, first: int, second: int) -> str:
        return (
            f"host=127.0.0.1,127.0.0.1 port={first},{second} dbname={self._database} user=postgres "
            "target_session_attrs=read-write connect_timeout=2"
        )

    def fail_over(self, races: int) -> Outcome:
        """Run so many races before the failover, during it and after it, with the former primary frozen meanwhile."""
        with ExitStack() as ending:
            nodes = self._nodes(ending)
            self._until_used(nodes)
            self._races(self._cluster, lambda: races)
            with self._cluster.frozen():
                thaws = time.monotonic() + _FROZEN
                time.sleep(LEASE / 2)
                self._standby.promote()
                # On a busy machine, that takes longer.
                thaws = max(thaws, time.monotonic() + 2 * LEASE)
                self._races(self._standby, lambda: 0 if time.monotonic() > thaws else races)
            self._standby.run(_TERMINATE, database=self._database)
            self._races(self._standby, lambda: 2 * races)
        self._judge()
        return self.outcome

    def _races(self, cluster: Cluster, most: Callable[[], int]) -> None:
        address = cluster.address(self._database)
        with (
            closing(psycopg.connect(address, autocommit=True)) as writer,
            closing(Settler(lambda: MemberConnection(address, 1.0), SystemClock())) as settler,
        ):
            done = 0
            while done < most():
                self._race(writer, settler)
                time.sleep(self._random.random() * LEASE / 3)
                done += 1
            self.outcome.waited_out += settler.waited_out


def failover_storm(scratch: Path, rules: FailoverRules, seed: int, races: int) -> Outcome:
    """Run a storm with one failover, on clusters of its own."""
    scratch.mkdir(parents=True)
    with ExitStack() as ending:
        former = Cluster()
        ending.callback(former.remove)
        former.prepare()
        database = ending.enter_context(former.database())
        standby = Cluster(standby_of=former)
        ending.callback(standby.remove)
        # The last is undone first: without a standby, the database could not be emptied.
        ending.callback(former.run, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
        former.run("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        return FailoverStorm(former, standby, database, scratch, rules, seeded(seed)).fail_over(races)
