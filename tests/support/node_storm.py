"""A storm: nodes of real processes use things in a real PostgreSQL while these change and the nodes are disturbed.

Each race changes a thing, waits until the change is settled, and notes when. A use that began later and knows an older
change is stale.
"""

import os
import shutil
import signal
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event, Timer

import msgspec
import psycopg

from campaign import Random, seeded
from postgresql import Cluster
from stalling_proxy import StallingProxy
from storm_processes import REFUSED, USE, NodeSettings, run_agent, run_worker
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.store.postgresql.member_connection import MemberConnection
from strongroom.store.postgresql.settler import Settler

THINGS = 4
LEASE = 0.3
RACES_EACH = 3
"""How many races take place during one disturbance."""
_USES_BETWEEN = 60
"""How often the workers use something between two races at least, also on a busy machine."""
_PATIENCE = 240
"""Seconds. They only bound a hang."""


def commit_change(writer: psycopg.Connection, name: str) -> int:
    """Change a thing in a transaction, as the store does; return the number of the change."""
    with writer.transaction():
        tag = system_entropy(8)
        (number,) = writer.execute(
            "UPDATE generation SET number = number + 1, tag = %s RETURNING number", (tag,)
        ).fetchall()[0]
        writer.execute("INSERT INTO change VALUES (%s, %s, 'key', '1', 'r', %s)", (number, tag, name))
        writer.execute("UPDATE thing SET changed = %s WHERE name = %s", (number, name))
    assert isinstance(number, int)
    return number


class StormRules(msgspec.Struct, frozen=True):
    """How a storm is run. The controls change what must not be changed."""

    nodes: int = 3
    workers: int = 2
    poll: float | None = None
    ignored: float = 0.3
    waits: float = 1.0
    """For which part of the lease the writer waits, 1 for as long as it has to."""
    checks_the_lease: bool = True
    disturbances: tuple[str, ...] = ()
    """Which there are; all, if this is empty."""


class Outcome(msgspec.Struct):
    """What came of a storm. ``settling`` has the seconds that each change waited."""

    uses: int = 0
    refused: int = 0
    stale: list[str] = msgspec.field(default_factory=list)
    settling: list[float] = msgspec.field(default_factory=list)
    waited_out: int = 0
    disturbances: Counter[str] = msgspec.field(default_factory=Counter)


class _Node:
    """A node: its proxy, its agent, its workers."""

    def __init__(self, settings: NodeSettings, workers: int, proxy: StallingProxy) -> None:
        self.proxy = proxy
        self.settings = settings
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(["storm_processes"])
        self.agent = self._start(run_agent, settings)
        self.workers = [
            self._start(run_worker, msgspec.structs.replace(settings, uses=settings.uses.with_suffix(f".{number}")))
            for number in range(workers)
        ]

    def restart_agent(self) -> None:
        """Kill the agent and start another one, on the same page."""
        self.agent.kill()
        self.agent.join()
        self.agent = self._start(run_agent, self.settings)

    def end(self) -> None:
        """Kill all processes."""
        for process in (self.agent, *self.workers):
            process.kill()
            process.join()
        self.proxy.close()

    def _start(self, run: Callable[[NodeSettings], None], settings: NodeSettings) -> BaseProcess:
        process = self._context.Process(target=run, args=(settings,), daemon=True)
        process.start()
        return process


class Storm:
    """Runs races. ``scratch`` is an empty folder."""

    def __init__(self, cluster: Cluster, database: str, scratch: Path, rules: StormRules, random: Random) -> None:
        self._cluster = cluster
        self._database = database
        self._scratch = scratch
        self._rules = rules
        self._random = random
        self._answers: list[tuple[int, int, int]] = []
        """The number of the thing, when its change was answered (nanoseconds, monotonic), and the change."""
        self.outcome = Outcome()

    def run(self, races: int, *, most_seconds: float) -> Outcome:
        """Run so many races, unless the time is over before; return what came of them."""
        with ExitStack() as ending:
            nodes = self._nodes(ending)
            writer = ending.enter_context(closing(psycopg.connect(self._address(), autocommit=True)))
            settler = ending.enter_context(
                closing(Settler(lambda: MemberConnection(self._address(), 1.0), SystemClock()))
            )
            self._until_used(nodes)
            deadline = time.monotonic() + most_seconds
            while len(self._answers) < races and time.monotonic() < deadline:
                with self._disturbed(nodes):
                    for _ in range(RACES_EACH):
                        self._pause(self._random.random() * LEASE / 4)
                        self._race(writer, settler)
            self.outcome.waited_out = settler.waited_out
        self._judge()
        return self.outcome

    def _address(self, port: int | None = None) -> str:
        return self._cluster.address(self._database, port=port)

    def _nodes(self, ending: ExitStack) -> list[_Node]:
        things = ", ".join(f"('{number}', 0)" for number in range(THINGS))
        self._cluster.run(
            "CREATE TABLE thing (name text PRIMARY KEY, changed bigint NOT NULL)",
            f"INSERT INTO thing VALUES {things}",  # noqa: S608 - numbers
            database=self._database,
        )
        nodes = []
        for number in range(self._rules.nodes):
            proxy = StallingProxy(self._cluster.port)
            settings = self._settings(number, proxy.port)
            nodes.append(_Node(settings, self._rules.workers, proxy))
            ending.callback(nodes[-1].end)
        return nodes

    def _settings(self, number: int, port: int) -> NodeSettings:
        """Return what the processes of a node are started with. ``port`` is that of its proxy."""
        return NodeSettings(
            node=f"{number:012x}",
            address=self._address(port),
            read_address=self._address(port),
            page=self._scratch / f"page-{number}",
            uses=self._scratch / f"uses-{number}.uses",
            lease=LEASE,
            things=THINGS,
            poll=self._rules.poll,
            ignored=self._rules.ignored,
            checks_the_lease=self._rules.checks_the_lease,
        )

    def _until_used(self, nodes: list[_Node]) -> None:
        """Wait until every worker has used something."""
        deadline = time.monotonic() + _PATIENCE
        while len(list(self._scratch.glob("uses-*"))) < len(nodes) * self._rules.workers:
            assert time.monotonic() < deadline, "the workers have not begun"
            time.sleep(0.05)
        time.sleep(2 * LEASE)

    def _pause(self, seconds: float) -> None:
        """Let the workers use things, or be refused to, for some time and for some times."""
        enough = self._noted() + _USES_BETWEEN
        time.sleep(seconds)
        deadline = time.monotonic() + _PATIENCE
        while self._noted() < enough:
            assert time.monotonic() < deadline, "the workers do not get on"
            time.sleep(0.005)

    def _noted(self) -> int:
        return sum(path.stat().st_size for path in self._scratch.glob("uses-*")) // USE.size

    def _race(self, writer: psycopg.Connection, settler: Settler) -> None:
        thing = self._random.randrange(THINGS)
        change = commit_change(writer, str(thing))
        committed = time.monotonic()
        settled = Event()
        settler.when_settled(change, settled.set)
        settled.wait(None if self._rules.waits == 1 else self._rules.waits * LEASE)
        answered = time.monotonic_ns()
        self._answers.append((thing, answered, change))
        self.outcome.settling.append(answered / 1e9 - committed)

    # --- disturbances -------------------------------------------------------

    @contextmanager
    def _disturbed(self, nodes: list[_Node]) -> Iterator[None]:
        """Do something to a node, or to the database, which ends some time later."""
        node = self._random.choice(nodes)
        lasts = self._random.uniform(0.2, 2.0) * LEASE
        disturbances: dict[str, Callable[[], Callable[[], None] | None]] = {
            "none": lambda: None,
            "agent stopped": lambda: _stop(node.agent),
            "worker stopped": lambda: _stop(self._random.choice(node.workers)),
            "node stopped": lambda: _stop(node.agent, *node.workers),
            "network lost": lambda: _stall(node.proxy),
            "connections cut": node.proxy.cut,
            "backends terminated": self._terminate,
            "agent killed": node.restart_agent,
        }
        name = self._random.choice(self._rules.disturbances or (*disturbances, "none", "database frozen"))
        self.outcome.disturbances[name] += 1
        with ExitStack() as ending:
            if name == "database frozen":
                frozen = ending.enter_context(ExitStack())
                frozen.enter_context(self._cluster.frozen())
                _later(lasts, frozen.close, ending)
            else:
                undo = disturbances[name]()
                if undo is not None:
                    _later(lasts, undo, ending)
            yield

    def _terminate(self) -> None:
        self._cluster.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'strongroom'",
            database=self._database,
        )

    # --- the verdict --------------------------------------------------------

    def _judge(self) -> None:
        """Compare every use with the newest change of its thing that was answered when the use began."""
        times: dict[int, list[int]] = {}
        changes: dict[int, list[int]] = {}
        for thing, answered, change in self._answers:
            times.setdefault(thing, []).append(answered)
            changes.setdefault(thing, []).append(change)
        for path in sorted(self._scratch.glob("uses-*")):
            content = path.read_bytes()
            whole = len(content) - len(content) % USE.size
            for thing, began, known in USE.iter_unpack(content[:whole]):
                if thing == REFUSED:
                    self.outcome.refused += 1
                    continue
                self.outcome.uses += 1
                place = bisect_right(times.get(thing, []), began)
                if place and known < changes[thing][place - 1]:
                    late = (began - times[thing][place - 1]) / 1e6
                    self.outcome.stale.append(
                        f"{path.name} used change {known} of {thing} {late:.1f} ms after {changes[thing][place - 1]}"
                    )


def _stop(*processes: BaseProcess) -> Callable[[], None]:
    """Stop processes; return what lets them continue."""
    names = [process.pid for process in processes if process.pid is not None]
    for name in names:
        os.kill(name, signal.SIGSTOP)

    def proceed() -> None:
        for name in names:
            with suppress(ProcessLookupError):
                os.kill(name, signal.SIGCONT)

    return proceed


def _stall(proxy: StallingProxy) -> Callable[[], None]:
    proxy.stall()
    return proxy.resume


def _later(seconds: float, act: Callable[[], None], ending: ExitStack) -> None:
    """Do something after some time, and wait for it at the end."""
    timer = Timer(seconds, act)
    timer.start()
    ending.callback(timer.join)


def storm(cluster: Cluster, scratch: Path, rules: StormRules, seed: int, races: int, most_seconds: float) -> Outcome:
    """Run a storm in a database of its own."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    with cluster.database() as database, ExitStack() as ending:
        # Another test may get this database.
        ending.callback(cluster.run, "DROP TABLE thing", database=database)
        return Storm(cluster, database, scratch, rules, seeded(seed)).run(races, most_seconds=most_seconds)
