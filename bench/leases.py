"""What leases cost: a look at the page, a change that waits for 1, 3 and 5 nodes, and an agent that does nothing."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psycopg

from measure import machine
from node_storm import commit_change
from postgresql import Cluster
from storm_processes import NodeSettings, run_agent
from strongroom.clock import SystemClock
from strongroom.store.leases.page import PageFile, PageReader, PageWriter
from strongroom.store.leases.view import View
from strongroom.store.postgresql.member_connection import MemberConnection
from strongroom.store.postgresql.settler import Settler

LEASE = 10.0
CHANGES = 300
LOOKS = 200_000
IDLE = 10.0
POLL = 0.05


def main() -> None:
    """Measure, and print tables for ADR 31."""
    print(machine())
    print(f"\nA look at the page: {_look() * 1e9:.0f} ns\n")
    print("| Nodes | p50 ms | p90 ms | p99 ms | agent, CPU ms a change | agent idle, CPU ms/s |")
    print("|---|---|---|---|---|---|")
    with ExitStack() as ending:
        cluster = Cluster()
        ending.callback(cluster.remove)
        cluster.prepare()
        for nodes, poll in ((1, None), (3, None), (5, None), (3, POLL)):
            print(_settle(cluster, nodes, poll), flush=True)


def _look() -> float:
    """Return how long a worker looks at the page of a node with a lease, in seconds; the median of 9 rounds."""
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ending:
        file = ending.enter_context(closing(PageFile(Path(folder, "page"), clock.boot(), writing=True)))
        PageWriter(file.memory, file.place).extend(clock.uptime() + 3600)
        reading = ending.enter_context(closing(PageFile(Path(folder, "page"), clock.boot(), writing=False)))
        view = View(PageReader(reading.memory, reading.place), clock.uptime, time.sleep)
        return statistics.median(_timed(view.version) for _ in range(9))


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(LOOKS):
        call()
    return (time.perf_counter() - began) / LOOKS


def _settle(cluster: Cluster, nodes: int, poll: float | None) -> str:
    """Return a row of the table."""
    with ExitStack() as ending:
        database = ending.enter_context(cluster.database())
        address = cluster.address(database)
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        agents = [_agent(address, folder, number, poll) for number in range(nodes)]
        for agent in agents:
            ending.callback(agent.join)
            ending.callback(agent.kill)
        writer = ending.enter_context(closing(psycopg.connect(address, autocommit=True)))
        settler = ending.enter_context(closing(Settler(lambda: MemberConnection(address, 5.0), SystemClock())))
        while writer.execute("SELECT count(*) FROM member WHERE renewed > 0").fetchall() != [(nodes,)]:
            time.sleep(0.05)
        writer.execute("CREATE TABLE IF NOT EXISTS thing (name text PRIMARY KEY, changed bigint)")
        settler.settle(commit_change(writer, "0"))
        before = _cpu(agents)
        waits = sorted(_wait(settler, commit_change(writer, "0")) for _ in range(CHANGES))
        busy = _cpu(agents) - before
        time.sleep(IDLE)
        idle = _cpu(agents) - before - busy
    told = f"{nodes}" if poll is None else f"{nodes}, polling every {poll * 1000:.0f} ms"
    quantiles = " | ".join(f"{waits[int(part * CHANGES)] * 1e3:.1f}" for part in (0.5, 0.9, 0.99))
    return f"| {told} | {quantiles} | {busy / nodes / CHANGES * 1e3:.2f} | {idle / nodes / IDLE * 1e3:.1f} |"


def _wait(settler: Settler, number: int) -> float:
    began = time.perf_counter()
    settler.settle(number)
    return time.perf_counter() - began


def _agent(address: str, folder: Path, number: int, poll: float | None) -> ForkServerProcess:
    context = get_context("forkserver")
    context.set_forkserver_preload(["storm_processes"])
    settings = NodeSettings(
        node=f"{number:012x}",
        address=address,
        read_address=address,
        page=folder / f"page-{number}",
        uses=folder / "uses",
        lease=LEASE,
        things=1,
        poll=poll,
    )
    process = context.Process(target=run_agent, args=(settings,), daemon=True)
    process.start()
    return process


def _cpu(processes: list[ForkServerProcess]) -> float:
    """Return the processor time of some processes, in seconds (proc(5), ``/proc/[pid]/stat``)."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
