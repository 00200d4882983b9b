"""Nodes, a database and time, as a model: everything that can happen between two steps of the protocol of leases.

Nodes run the real protocol (``Membership``, ``View``, ``Settlement``) on real pages. The model decides when a statement
is executed, when its reply arrives or is lost, and how much time passes. After a failover the former primary still
answers reads and acknowledgements, but confirms no commit, as one without its synchronous standby.
"""

from collections.abc import Callable
from itertools import count
from typing import NamedTuple

import msgspec

from lease_servers import KEY, OTHER, Flight, Server
from strongroom.store.leases.generation import Generation
from strongroom.store.leases.membership import Membership
from strongroom.store.leases.page import PAGE_BYTES, PageReader, PageWriter
from strongroom.store.leases.requests import FoundMembers, Member, Reply, Steps
from strongroom.store.leases.settlement import Settlement
from strongroom.store.leases.view import Fill, LeaseEnded, OutdatedRead, View

LEASE = 10.0
PAUSES = (0.1, LEASE / 5 + 0.3, LEASE / 2, LEASE * 0.99, LEASE * 1.03)
RATES = (0.9955, 1.0, 1.0045)


class Stale(AssertionError):
    """A call succeeded under a state that a settled change had ended."""


class Rules(msgspec.Struct, frozen=True):
    """What the nodes keep to. Each control breaks one of these."""

    writers_wait: float = 1.0
    """For which part of the time that they should."""
    workers_check_the_lease: bool = True
    renewals_are_commits: bool = True
    fills_are_checked: bool = True
    publishing_follows_a_commit: bool = True
    settling_asks_what_the_server_knows: bool = True


class Clock:
    """The clock of one machine."""

    def __init__(self, world: "World", rate: float, offset: float) -> None:
        self._world = world
        self._rate = rate
        self._offset = offset

    def now(self) -> float:
        raise NotImplementedError

    timer = now

    def boot(self) -> str:
        return "boot"

    def uptime(self) -> float:
        return self._offset + self._rate * self._world.time


class Node:
    """A machine with an agent, a worker, and a writer."""

    def __init__(self, world: "World", name: str, rate: float) -> None:
        self.world = world
        self.name = name
        self.clock = Clock(world, rate, 1000 * rate)
        self.memory = memoryview(bytearray(PAGE_BYTES))
        self.server = world.primary
        self.steps: Steps | None = None
        self.flight: Flight | None = None
        self.settlement = Settlement()
        self.committed: list[tuple[int, float, Callable[[], None]]] = []
        self.found: FoundMembers | None = None
        self.removals: list[tuple[Server, Member]] = []
        self.begin()

    def begin(self) -> None:
        """Start an agent and a worker on this node's page."""
        self.membership = Membership(self.name, LEASE, PageWriter(self.memory, "here"), self.clock, self.world.entropy)
        self.steps = self.flight = None
        self.server = self.world.primary
        self.page = PageReader(self.memory, "here")
        self.view = View(self.page, self._uptime, lambda _seconds: None)
        self.cached: int | None = None
        self.seen = b""
        self.last = 0
        self.fill: tuple[Fill, Generation, int, int] | None = None

    def _uptime(self) -> float:
        return self.clock.uptime() if self.world.rules.workers_check_the_lease else 0.0

    # --- the agent ----------------------------------------------------------

    def start(self, steps: Steps) -> None:
        """Begin to renew or to publish, unless the agent is busy."""
        if self.steps is None:
            self.steps = steps
            self._send(None)

    def step(self) -> bool:
        """Let the statement on its way go one step further; tell whether there is one."""
        if self.flight is None:
            return False
        try:
            next(self.flight)
        except StopIteration as ended:
            self._send(ended.value)
        return True

    def run(self) -> None:
        """Let all statements go through, unless the server does not answer."""
        for _ in range(30):
            if not self.step():
                return

    def cut(self, server: Server) -> None:
        """Lose the connection, and make another one. A statement on its way may still be executed."""
        if self.steps is not None:
            self.steps.close()
        if self.flight is not None:
            self.world.lost.append(self.flight)
        self.steps = self.flight = None
        self.server = server
        if self.world.rules.publishing_follows_a_commit:
            self.membership.connected()

    def _send(self, reply: Reply) -> None:
        assert self.steps is not None
        try:
            request = next(self.steps) if reply is None and self.flight is None else self.steps.send(reply)
        except StopIteration:
            self.steps = self.flight = None
            return
        self.flight = self.server.execute(request)

    # --- the worker ---------------------------------------------------------

    def call(self) -> None:
        """Use the thing as this node knows it, if it may."""
        known = self._refresh()
        if known is None or self.cached is None:
            return
        if self.cached < known:
            raise Stale(f"{self.name} used {self.cached}, and {known} was settled")

    def begin_fill(self, server: Server) -> None:
        """Begin a call that has to read the database."""
        known = self._refresh()
        if known is not None:
            fill = self.view.begin_fill()
            self.fill = fill, server.generation, server.value(KEY), known

    def end_fill(self) -> None:
        """End that call, and remember what was read if nothing has changed."""
        if self.fill is None:
            return
        (fill, seen, value, known), self.fill = self.fill, None
        try:
            if self.world.rules.fills_are_checked:
                self.view.check_fill(fill, seen, 0)
        except OutdatedRead:
            return
        if value < known:
            raise Stale(f"{self.name} read {value}, and {known} was settled")
        if self.last == fill.generation.number:
            self.cached = value

    def _refresh(self) -> int | None:
        """Return the newest settled change of the thing when the view was found to be current; None if it is not."""
        try:
            version = self.view.version()
        except LeaseEnded:
            return None
        known = self.world.settled
        if version != self.seen:
            changes = self.view.changes(self.last)
            if not changes.complete or any(change.name == KEY for change in changes.entries):
                self.cached = None
            self.last = changes.last
            self.seen = version
        return known

    # --- the writer ---------------------------------------------------------

    def write(self, name: str) -> None:
        """Commit a change, which is then to be settled."""
        number = self.world.primary.commit(name)
        self.committed.append((number, self.clock.uptime(), lambda: self.world.settle(name, number)))

    def find_members(self, server: Server) -> None:
        """Read the members, for all that was committed before."""
        for number, committed_at, done in self.committed:
            self.settlement.add(number, committed_at, done)
        self.committed = []
        number = server.generation.number if self.world.rules.settling_asks_what_the_server_knows else 1 << 60
        self.found = FoundMembers(number, list(server.members.values()))
        self.removals_on = server

    def observe(self) -> None:
        """Settle what can be settled by what was read."""
        found, self.found = self.found, None
        if found is None:
            return
        if self.world.rules.writers_wait < 1:
            wait = self.world.rules.writers_wait
            found = FoundMembers(
                found.number, [msgspec.structs.replace(m, lease=m.lease * wait) for m in found.members]
            )
        settled, removals = self.settlement.observe(found, self.clock.uptime())
        self.removals += [(self.removals_on, member) for member in removals]
        for done in settled:
            done()

    def remove(self) -> None:
        """Have removals executed."""
        for server, member in self.removals:
            now = server.members.get(member.node)
            if server.is_primary and now and (now.incarnation, now.renewed) == (member.incarnation, member.renewed):
                del server.members[member.node]
        self.removals = []


class World:
    """All of it. ``rates`` are those of the nodes' clocks."""

    def __init__(self, rules: Rules, rates: tuple[float, ...]) -> None:
        self.rules = rules
        self.time = 0.0
        self.settled = 0
        """The newest change of the thing that was settled."""
        self.newest = 0
        """The newest change that was settled."""
        self.primary = Server(confirms_always=not rules.renewals_are_commits)
        self.former = self.primary
        self.lost: list[Flight] = []
        self._numbers = count(1)
        self.nodes = [Node(self, f"n{number}", rate) for number, rate in enumerate(rates)]
        for node in self.nodes:
            node.start(node.membership.renew())
            node.run()

    def entropy(self, length: int, /) -> bytes:
        """Return bytes that are not repeated."""
        return next(self._numbers).to_bytes(length)

    def settle(self, name: str, number: int) -> None:
        """Note that a change is answered."""
        self.newest = max(self.newest, number)
        if name == KEY:
            self.settled = max(self.settled, number)

    def check(self) -> None:
        """Check that no node has a lease and does not know what was settled."""
        for node in self.nodes:
            head = node.page.head()
            runs = node.clock.uptime() < head.lease_end or (not self.rules.workers_check_the_lease and head.lease_end)
            if runs and head.generation.number < self.newest:
                raise Stale(f"{node.name} has a lease at {head.generation.number}, and {self.newest} was settled")
            node.call()

    def fail_over(self, *, loses_acknowledgements: bool) -> None:
        """Promote the standby. The former primary does not notice."""
        self.former = self.primary
        self.primary = self.former.standby()
        self.former.is_primary = False
        if loses_acknowledgements:
            members = self.primary.members
            for name, member in members.items():
                members[name] = msgspec.structs.replace(member, acked=0)

    def server(self, choice: "Choice") -> Server:
        """Return the primary, or the former one."""
        return self.former if choice.flag else self.primary


class Choice(NamedTuple):
    """One step: an action, the number of the node, and what else the action asks for."""

    action: str
    node: int
    flag: bool
    pause: float


def act(world: World, choice: Choice) -> None:
    """Do one step, and check."""
    ACTIONS[choice.action](world, world.nodes[choice.node], choice)
    world.check()


def _renew(_world: World, node: Node, choice: Choice) -> None:
    node.start(node.membership.renew())
    if choice.flag:
        node.run()


def _publish(_world: World, node: Node, choice: Choice) -> None:
    node.start(node.membership.publish())
    if choice.flag:
        node.run()


def _step(_world: World, node: Node, _choice: Choice) -> None:
    node.step()


def _leave(_world: World, node: Node, _choice: Choice) -> None:
    node.start(node.membership.leave())
    node.run()


def _execute_lost(world: World, _node: Node, _choice: Choice) -> None:
    for flight in world.lost:
        next(flight, None)


def _settle(world: World, node: Node, choice: Choice) -> None:
    if choice.flag:
        node.write(KEY)
    node.find_members(world.primary)
    node.observe()


def _let_time_pass(world: World, _node: Node, choice: Choice) -> None:
    world.time += choice.pause


def _fill(world: World, node: Node, choice: Choice) -> None:
    node.begin_fill(world.server(choice))
    if choice.pause < 1:
        node.end_fill()


ACTIONS: dict[str, Callable[[World, Node, Choice], None]] = {
    "renew": _renew,
    "publish": _publish,
    "step": _step,
    "cut": lambda world, node, choice: node.cut(world.server(choice)),
    "execute what was lost": _execute_lost,
    "crash": lambda _world, node, _choice: node.begin(),
    "leave": _leave,
    "write": lambda _world, node, choice: node.write(KEY if choice.flag else OTHER),
    "find members": lambda world, node, choice: node.find_members(world.server(choice)),
    "observe": lambda _world, node, _choice: node.observe(),
    "settle": _settle,
    "remove": lambda _world, node, _choice: node.remove(),
    "let time pass": _let_time_pass,
    "fail over": lambda world, _node, choice: world.fail_over(loses_acknowledgements=choice.flag),
    "fill": _fill,
    "end fill": lambda _world, node, _choice: node.end_fill(),
}
"""Everything that can happen. What ``flag`` means depends on the action."""

_OFTEN = {
    "step": 10,
    "settle": 6,
    "let time pass": 5,
    "renew": 4,
    "publish": 4,
    "write": 3,
    "find members": 2,
    "observe": 2,
}
CHOSEN = [name for name in ACTIONS for _ in range(_OFTEN.get(name, 1))]
"""The actions, as often as they should be chosen: faults are rarer than what they disturb."""
