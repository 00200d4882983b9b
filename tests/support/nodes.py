"""Nodes: whole servers that share one PostgreSQL database, each with a data folder of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import warm_commands
from free_ports import free_port
from local_server import RunningServer, running_server
from postgresql import SERVER, Cluster
from request_balancer import RequestBalancer
from server_processes import is_alive, tree_of
from stalling_proxy import StallingProxy

_AGENT = b"strongroom.cli.agent"
_WORKER = b"strongroom.cli.worker"
_STARTING = 120
"""Seconds in which a node that cannot start is started again, as a service manager does."""
_BETWEEN_STARTS = 0.5
_COMMAND = 120
"""Seconds that a command may take, on a busy machine."""


class Node:
    """One server over PostgreSQL: a supervisor, an agent, and workers. It listens on ``port`` whenever it runs."""

    def __init__(
        self,
        data: Path,
        first: Path,
        environment: Mapping[str, str],
        options: Sequence[str] = (),
        proxies: Sequence[StallingProxy] = (),
    ) -> None:
        """``first`` is the data folder of the first node, which has the root's access key.

        ``options`` are for ``serve`` and, with the first node, for ``init``. ``environment`` has the settings;
        ``proxies`` are between the node and the database, one for each host of that.
        """
        self.data = data
        self._first = first
        self.port = free_port()
        self.proxies = proxies
        self.environment = dict(environment)
        self.options = options
        self._running = ExitStack()
        self._server: RunningServer | None = None
        self._starts = 0

    @property
    def server(self) -> RunningServer:
        """The server, which has been started."""
        assert self._server is not None
        return self._server

    @property
    def logs(self) -> list[Path]:
        """The logs of all its starts, oldest first."""
        return [self._log(number) for number in range(self._starts)]

    @property
    def supervisor(self) -> int:
        """The process id of the supervisor."""
        return self.server.process.pid

    @property
    def agents(self) -> list[int]:
        """The process ids of agents: one, or none while it is started anew."""
        return self._children(_AGENT)

    @property
    def workers(self) -> list[int]:
        """The process ids of the workers that live."""
        return self._children(_WORKER)

    def start(self) -> None:
        """Start it, and wait until it serves; if it ends meanwhile, start it again for two minutes at most."""
        deadline = time.monotonic() + _STARTING
        while True:
            try:
                return self._start()
            except SystemExit as ended:
                told = self.logs[-1].read_text()
                if time.monotonic() > deadline:
                    raise AssertionError(f"{self.data.name} does not start: {told}") from ended
                time.sleep(_BETWEEN_STARTS)

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        code = self.server.stop()
        self._running.close()
        return code

    def kill(self) -> None:
        """Kill all its processes, as if its machine had lost its power."""
        processes = tree_of(self.supervisor)
        for process in processes:
            _signal(process, signal.SIGKILL)
        self._running.close()
        while any(map(is_alive, processes)):
            time.sleep(0.01)

    def close(self) -> None:
        """Kill it if it runs, and close its proxies."""
        if self._server is not None and is_alive(self.supervisor):
            self.kill()
        self._running.close()
        for proxy in self.proxies:
            proxy.close()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``strongroom`` with its data folder and settings."""
        return strongroom_on(self.environment, *arguments, "--data", str(self.data))

    def _start(self) -> None:
        self._running = ExitStack()
        log = self._log(self._starts)
        self._starts += 1
        options = ("--listen", f"127.0.0.1:{self.port}", *self.options)
        running = running_server(self.data, log, *options, environment=self.environment)
        server = self._running.enter_context(running)
        server.environment["AWS_SHARED_CREDENTIALS_FILE"] = str(self._first / "credentials")
        self._server = server

    def _log(self, number: int) -> Path:
        return self.data.with_name(f"{self.data.name}.{number}.log")

    def _children(self, module: bytes) -> list[int]:
        found = []
        for process in tree_of(self.supervisor):
            with suppress(OSError):
                if module in Path(f"/proc/{process}/cmdline").read_bytes():
                    found.append(process)
        return found


def strongroom_on(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``strongroom`` with settings from the environment; in a fork, as ``accounts.strongroom`` does."""
    merged = {**os.environ, **environment}
    if warm_commands.can_run(merged):
        return warm_commands.command(*arguments, environment=environment)
    command = [sys.executable, "-m", "strongroom", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_COMMAND, env=merged)


class _Supervisors:
    """The supervisors of all nodes, as one process that can be asked for what a ``Process`` can."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self.pid = nodes[0].supervisor

    def wait(self, timeout: float | None = None) -> int:
        return max(node.server.process.wait(timeout) for node in self._nodes)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def send_signal(self, sig: int) -> None:
        for node in self._nodes:
            node.server.process.send_signal(sig)


class Nodes:
    """The nodes of one deployment. ``everywhere`` reaches them all: each request goes to the next of them."""

    def __init__(self, nodes: Sequence[Node], port: int) -> None:
        """``port`` leads to all nodes."""
        self.nodes = nodes
        url = f"http://127.0.0.1:{port}"
        environment = {
            name: url if name.startswith("AWS_ENDPOINT_URL") else value
            for name, value in nodes[0].server.environment.items()
        }
        self.everywhere = RunningServer(_Supervisors(nodes), environment)

    def __getitem__(self, number: int) -> Node:
        return self.nodes[number]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)


def initialize(node: Node) -> None:
    """Make the deployment in a database that has its tables, with the data folder of its first node."""
    done = node.command("init", *node.options)
    assert done.returncode == 0, done.stderr


def copy_root_key(first: Path, other: Path) -> None:
    """Make the data folder of another node, as an operator does: with what opens the deployment's keys."""
    other.mkdir(mode=0o700)
    shutil.copy2(first / "root.key", other / "root.key")


@contextmanager
def running_nodes(nodes: Iterable[Node], *, is_new: bool = True) -> Iterator[Nodes]:
    """Start nodes of one deployment, and a balancer before them if there are several.

    The deployment is made if it is new. Nodes that run at the end are killed.
    """
    made = list(nodes)
    with ExitStack() as ending:
        for node in made:
            ending.callback(node.close)
        if is_new:
            initialize(made[0])
        for node in made[1:]:
            if not node.data.exists():
                copy_root_key(made[0].data, node.data)
        with ThreadPoolExecutor(len(made)) as starting:
            for started in [starting.submit(node.start) for node in made]:
                started.result()
        port = made[0].port
        if len(made) > 1:
            balancer = RequestBalancer([node.port for node in made])
            ending.callback(balancer.close)
            port = balancer.port
        yield Nodes(made, port)


def nodes_of(
    cluster: Cluster,
    database: str,
    data: Path,
    count: int,
    *options: str,
    proxied: bool = False,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Node]:
    """Make so many nodes, which are not started, on a database of a cluster; ``data`` is the folder of the first."""
    for number in range(1, count + 1):
        proxies = [StallingProxy(cluster.port)] if proxied else []
        store = cluster.address(database, SERVER, proxies[0].port if proxies else None)
        folder = data if number == 1 else data.with_name(f"{data.name}-node{number}")
        yield Node(folder, data, {"STRONGROOM_STORE": store, **(settings or {})}, options, proxies)


def _signal(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)
