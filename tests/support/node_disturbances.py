"""What can be done to a node, and to a database, in a storm. Each returns what ends it."""

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from functools import partial

from campaign import Random
from nodes import Node
from patroni import PatroniCluster
from postgresql import Cluster
from server_processes import tree_of

Undo = Callable[[], None]
Disturb = Callable[[], Undo]


def disturbances_of(node: Node, random: Random) -> dict[str, Disturb]:
    """Return what can be done to a node, by name."""
    return {
        "none": lambda: _nothing,
        "agent stopped": lambda: _stop(node.agents),
        "worker stopped": lambda: _stop(_one(node.workers, random)),
        "node stopped": lambda: _stop(tree_of(node.supervisor)),
        "network lost": lambda: _stall(node),
        "connections cut": lambda: _cut(node),
        "agent killed": lambda: _kill(node.agents),
        "worker killed": lambda: _kill(_one(node.workers, random)),
        "node killed": lambda: _kill_node(node),
    }


def disturbances_of_cluster(cluster: Cluster, database: str) -> dict[str, Disturb]:
    """Return what can be done to a database server, by name."""
    return {
        "backends terminated": lambda: _terminate(lambda *statements: cluster.run(*statements, database=database)),
        "database frozen": lambda: _freeze(cluster),
        "database crashed": lambda: _restart(cluster, "immediate"),
        "database restarted": lambda: _restart(cluster, "fast"),
    }


def disturbances_of_patroni(cluster: PatroniCluster, database: str) -> dict[str, Disturb]:
    """Return what can be done to a database with a failover. All end when there is a synchronous standby again."""
    known: dict[str, Disturb] = {
        "backends terminated": lambda: _terminate(lambda *statements: cluster.run(*statements, database=database)),
        "switched over": lambda: _switch_over(cluster),
        "primary killed": lambda: _kill_primary(cluster),
        "machine of the primary lost": lambda: _lose_primary(cluster),
        "machine of the primary frozen": lambda: _freeze_primary(cluster),
    }
    return {name: partial(_once_settled, cluster, disturb) for name, disturb in known.items()}


def _once_settled(cluster: PatroniCluster, disturb: Disturb) -> Undo:
    """Disturb a cluster that has a primary: on a busy machine, Patroni may have left it without one by itself."""
    cluster.until_settled()
    return disturb()


def _switch_over(cluster: PatroniCluster) -> Undo:
    primary = cluster.primary
    primary.switch_over(primary.name, cluster.standby.name)
    return cluster.until_settled


def _kill_primary(cluster: PatroniCluster) -> Undo:
    cluster.primary.kill_postgresql()
    return cluster.until_settled


def _lose_primary(cluster: PatroniCluster) -> Undo:
    lost = cluster.primary
    lost.kill()

    def come_back() -> None:
        cluster.until_promoted(lost)
        lost.start()
        cluster.until_settled()

    return come_back


def _freeze_primary(cluster: PatroniCluster) -> Undo:
    """Freeze the primary until the standby is promoted; then it is one that does not know it is none any more."""
    frozen = cluster.primary
    frozen.freeze()

    def thaw() -> None:
        try:
            cluster.until_promoted(frozen)
        finally:
            frozen.thaw()
        cluster.until_settled()

    return thaw


def _nothing() -> None:
    pass


def _one(processes: list[int], random: Random) -> list[int]:
    return [random.choice(processes)] if processes else []


def _stop(processes: Iterable[int]) -> Undo:
    """Stop processes (SIGSTOP); what ends it lets them continue."""
    stopped = list(processes)
    _signal(stopped, signal.SIGSTOP)
    return lambda: _signal(stopped, signal.SIGCONT)


def _kill(processes: Iterable[int]) -> Undo:
    _signal(processes, signal.SIGKILL)
    return _nothing


def _kill_node(node: Node) -> Undo:
    node.kill()
    return node.start


def _stall(node: Node) -> Undo:
    """Hold back all that the node and the database send each other, as a network that loses everything."""
    for proxy in node.proxies:
        proxy.stall()

    def resume() -> None:
        for proxy in node.proxies:
            proxy.resume()

    return resume


def _cut(node: Node) -> Undo:
    for proxy in node.proxies:
        proxy.cut()
    return _nothing


def _terminate(run: Callable[[str], object]) -> Undo:
    run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'strongroom'")
    return _nothing


def _freeze(cluster: Cluster) -> Undo:
    ending = ExitStack()
    ending.enter_context(cluster.frozen())
    return ending.close


def _restart(cluster: Cluster, mode: str) -> Undo:
    cluster.stop(mode)
    return cluster.start


def _signal(processes: Iterable[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)
