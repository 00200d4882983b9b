"""``make bench-nodes``: what PostgreSQL and several nodes cost, beside SQLite on the same machine.

All servers of a comparison run from beginning to end and take turns, so that other load on the machine affects all
alike. Each has one worker, and both databases wait for the disk.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import NamedTuple

from clients import credentials_of
from contender import Call
from fast_client import FastClient
from kms_calls import Kms, create_key, describe_key, encrypt
from load import ask, drive
from local_server import RunningServer, running_server
from measure import Load, machine
from nodes import Nodes, nodes_of, running_nodes
from postgresql import Cluster
from processes import tree_seconds
from servers import Server
from strongroom_server import endpoint
from tables import print_table, ratio

SQLITE, ONE, THREE = "SQLite", "PostgreSQL, 1 node", "PostgreSQL, 3 nodes"
DURABLE = "-c deadlock_timeout=100ms"
"""The database waits for the disk, as by default."""
CONNECTIONS = 32
FEWER = (8, 1)
"""Connections that CreateKey is measured with as well: the more calls wait at a time, the more share a commit."""
CHANGES = 300
SAMPLED = 7
_SETTINGS = {"STRONGROOM_WORKERS": "1"}


class Side(NamedTuple):
    """One side of a comparison: its servers, of which each gets a part of the load, and the database server if any."""

    name: str
    running: Sequence[RunningServer]
    cluster: Cluster | None

    @property
    def servers(self) -> list[Server]:
        return [endpoint(each)[0] for each in self.running]

    def kms(self) -> list[Kms]:
        return [Kms(each.endpoint, credentials_of(each)) for each in self.running]

    def database_seconds(self) -> float:
        return 0.0 if self.cluster is None else tree_seconds(self.cluster.pid)


class Measured(NamedTuple):
    """One round: the load of each server together, and CPU microseconds of the database for one request."""

    load: Load
    database: float


def main() -> None:
    """Measure, and print the tables of ``docs/performance.md``."""
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=2)
    given = options.parse_args()
    print(
        f"{machine()}; wrk, 1 thread, {CONNECTIONS} connections; {given.rounds} rounds of {given.seconds} s, medians\n"
    )
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        cluster = Cluster(DURABLE)
        ending.callback(cluster.remove)
        cluster.prepare()
        with _sides(folder / "calls", cluster) as sides:
            _print_calls(_calls(sides, given.rounds, given.seconds))
        rows = [_changes(SQLITE, folder / "sqlite", None, 0)]
        rows += [
            _changes(f"PostgreSQL, {count} node{'s' * (count > 1)}", folder / f"{count}", cluster, count)
            for count in (1, 3, 5)
        ]
    head = ("A change", "p50 ms", "p90 ms", "p99 ms", "servers, CPU ms", "database, CPU ms")
    print_table(head, rows)


@contextmanager
def _sides(folder: Path, cluster: Cluster) -> Iterator[list[Side]]:
    folder.mkdir()
    with ExitStack() as ending:
        sqlite = ending.enter_context(running_server(folder / "sqlite", folder / "log", "--workers", "1"))
        sides = [Side(SQLITE, [sqlite], None)]
        for name, count in ((ONE, 1), (THREE, 3)):
            nodes = ending.enter_context(_nodes(folder / f"nodes{count}", cluster, count))
            sides.append(Side(name, [node.server for node in nodes], cluster))
        yield sides


@contextmanager
def _nodes(folder: Path, cluster: Cluster, count: int) -> Iterator[Nodes]:
    folder.mkdir()
    with (
        cluster.scratch() as database,
        running_nodes(nodes_of(cluster, database, folder / "data", count, settings=_SETTINGS)) as nodes,
    ):
        yield nodes


def _calls(sides: list[Side], rounds: int, seconds: int) -> dict[tuple[str, str], list[Measured]]:
    """Measure each call on each side in each round."""
    calls: dict[str, list[list[Call]]] = {}
    for side in sides:
        # A key for each server's use, which every node could use.
        made = [(kms, kms.client().create_key()["KeyMetadata"]["KeyId"]) for kms in side.kms()]
        calls[side.name] = [[encrypt(kms, key), describe_key(kms, key), create_key(kms)] for kms, key in made]
    found: dict[tuple[str, str], list[Measured]] = {}
    loads = [*((place, CONNECTIONS) for place in range(3)), *((2, connections) for connections in FEWER)]
    for number in range(rounds):
        for place, connections in loads:
            for side in sides if number % 2 else sides[::-1]:
                chosen = [of_server[place] for of_server in calls[side.name]]
                if connections in FEWER and len(chosen) > 1:
                    continue
                name = f"{chosen[0].name}, {connections} at a time"
                found.setdefault((side.name, name), []).append(_measure(side, chosen, seconds, connections))
    return found


def _measure(side: Side, calls: list[Call], seconds: int, connections: int) -> Measured:
    """Call all servers of a side at the same time, over so many connections in all."""
    connections //= len(calls)
    before = side.database_seconds()
    with ThreadPoolExecutor(len(calls)) as pool:
        pairs = zip(side.servers, calls, strict=True)
        running = [pool.submit(_drive, server, call, seconds, connections) for server, call in pairs]
        loads = [each.result() for each in running]
    requests = sum(load.requests for load in loads)
    together = Load(
        requests=requests,
        seconds=max(load.seconds for load in loads),
        errors=sum(load.errors for load in loads),
        p50=median(load.p50 for load in loads),
        p99=max(load.p99 for load in loads),
        p999=max(load.p999 for load in loads),
        cpu=sum(load.cpu for load in loads),
        memory=sum(load.memory for load in loads),
    )
    if together.errors:
        raise SystemExit(f"{side.name}, {calls[0].name}: {together.errors} errors")
    return Measured(together, (side.database_seconds() - before) * 1e6 / requests)


def _drive(server: Server, call: Call, seconds: int, connections: int) -> Load:
    requests = call.prepare()
    samples = cycle(requests[::SAMPLED])

    def sample() -> None:
        request = next(samples)
        call.check(request, ask(server, request))

    sample()
    return drive(server, requests, seconds, connections=connections, meanwhile=sample)


def _print_calls(found: dict[tuple[str, str], list[Measured]]) -> None:
    head = (
        "Call",
        "Servers",
        "CPU µs",
        "of SQLite's",
        "database, CPU µs",
        "both, of SQLite's",
        "requests/s",
        "of SQLite's",
        "p50 ms",
        "p99 ms",
    )
    rows = []
    for (side, call), rounds in sorted(found.items(), key=lambda each: each[0][1]):
        loads = [each.load for each in rounds]
        floor = [each.load for each in found[SQLITE, call]]
        rows.append(
            [
                call,
                side,
                f"{median(load.cpu_each for load in loads):.1f}",
                f"{ratio('cpu_each', loads, floor):.2f}",
                f"{median(each.database for each in rounds):.1f}",
                f"{median(map(_cpu_ratio, rounds, found[SQLITE, call])):.2f}",
                f"{median(load.per_second for load in loads):,.0f}",
                f"{ratio('per_second', loads, floor):.2f}",
                f"{median(load.p50 for load in loads) / 1000:.1f}",
                f"{median(load.p99 for load in loads) / 1000:.1f}",
            ]
        )
    print_table(head, rows)


def _cpu_ratio(one: Measured, floor: Measured) -> float:
    """Return how much CPU servers and database take together, as a multiple of another round's."""
    return (one.load.cpu_each + one.database) / floor.load.cpu_each


def _changes(name: str, folder: Path, cluster: Cluster | None, count: int) -> list[str]:
    """Return a row: what it costs to disable a key, or to enable it, while nothing else happens."""
    with ExitStack() as ending:
        if cluster is None:
            folder.mkdir()
            server = running_server(folder / "data", folder / "log", "--workers", "1")
            side = Side(name, [ending.enter_context(server)], None)
        else:
            nodes = ending.enter_context(_nodes(folder, cluster, count))
            side = Side(name, [node.server for node in nodes], cluster)
        client = FastClient(side.running[0])
        key_id = client("CreateKey")["KeyMetadata"]["KeyId"]
        for change in ("DisableKey", "EnableKey"):
            client(change, KeyId=key_id)
        before, before_database = _cpu(side), side.database_seconds()
        waits = sorted(_timed(client, "EnableKey" if turn % 2 else "DisableKey", key_id) for turn in range(CHANGES))
        cpu, database = _cpu(side) - before, side.database_seconds() - before_database
        client.close()
    quantiles = [f"{waits[int(part * CHANGES)] * 1e3:.1f}" for part in (0.5, 0.9, 0.99)]
    return [name, *quantiles, f"{cpu / CHANGES * 1e3:.2f}", f"{database / CHANGES * 1e3:.2f}"]


def _cpu(side: Side) -> float:
    return sum(tree_seconds(server.pid) for server in side.servers)


def _timed(client: FastClient, operation: str, key_id: str) -> float:
    began = time.perf_counter()
    client(operation, KeyId=key_id)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
