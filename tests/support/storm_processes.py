"""The processes of a node in a storm: its agent, and a worker that uses things all the time."""

import logging
import time
from contextlib import closing, suppress
from pathlib import Path
from struct import Struct

import msgspec
import psycopg
from typing_extensions import override

from campaign import seeded
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.store.leases.generation import Generation
from strongroom.store.leases.membership import Membership
from strongroom.store.leases.page import PageFile, PageReader, PageWriter
from strongroom.store.leases.requests import Renew, Reply, Request
from strongroom.store.leases.view import LeaseEnded, OutdatedRead, View
from strongroom.store.postgresql.agent import Agent
from strongroom.store.postgresql.member_connection import MemberConnection

USE = Struct("<qqq")
"""A use: the number of the thing, when it began (nanoseconds, monotonic), the change of it that was known."""
REFUSED = -1
"""In place of the number of the thing: the call was refused for want of a lease."""
_BETWEEN_USES = 0.002
_FILL = "SELECT changed, number, tag FROM thing, generation WHERE name = %s"


class NodeSettings(msgspec.Struct, frozen=True):
    """What the processes of a node are started with. ``poll`` is in seconds; None uses notifications."""

    node: str
    address: str
    """Where the agent connects to; workers read from ``read_address``."""
    read_address: str
    page: Path
    uses: Path
    lease: float
    things: int
    poll: float | None = None
    ignored: float = 0.0
    """Which part of the notifications the agent ignores."""
    checks_the_lease: bool = True
    checks_fills: bool = True
    renews_by_commits: bool = True


class _CarelessConnection(MemberConnection):
    """Ignores some notifications, and may renew leases by reads."""

    def __init__(self, settings: NodeSettings) -> None:
        super().__init__(settings.address, settings.lease / 2)
        self._settings = settings
        self._random = seeded(0)

    @override
    def wait(self, seconds: float, wake: int) -> bool:
        notified = super().wait(seconds, wake)
        return notified and self._random.random() >= self._settings.ignored

    @override
    def perform(self, request: Request) -> Reply:
        if isinstance(request, Renew) and not self._settings.renews_by_commits:
            with suppress(psycopg.errors.ReadOnlySqlTransaction):
                number, tag = self._execute("SELECT number, tag FROM generation", ()).fetchall()[0]
                return Generation(number, bytes(tag))
        return super().perform(request)


def run_agent(settings: NodeSettings) -> None:
    """Keep the lease of a node until the process is killed."""
    logging.getLogger("strongroom").setLevel(logging.CRITICAL)
    clock = SystemClock()
    file = PageFile(settings.page, clock.boot(), writing=True)
    page = PageWriter(file.memory, file.place)
    membership = Membership(settings.node, settings.lease, page, clock, system_entropy)
    Agent(membership, lambda: _CarelessConnection(settings), clock, settings.lease, poll=settings.poll).run()


class _Worker:
    """Uses things as a worker of the service does: from its memory, if it may."""

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        clock = SystemClock()
        file = PageFile(settings.page, clock.boot(), writing=False)
        uptime = clock.uptime if settings.checks_the_lease else lambda: 0.0
        self._file = file
        self._view = View(PageReader(file.memory, file.place), uptime, time.sleep)
        self._seen = b""
        self._last = 0
        self._known: dict[str, int] = {}
        self._connection: psycopg.Connection | None = None

    def use(self, thing: str) -> int:
        """Return the change of a thing that this worker knows; raises an error if the call has to be refused."""
        version = self._view.version()
        if version != self._seen:
            changes = self._view.changes(self._last)
            if changes.complete:
                for change in changes.entries:
                    self._known.pop(change.name, None)
            else:
                self._known.clear()
            self._last, self._seen = changes.last, version
        known = self._known.get(thing)
        if known is None:
            known = self._known[thing] = self._read(thing)
        return known

    def _read(self, thing: str) -> int:
        fill = self._view.begin_fill()
        if self._connection is None:
            self._connection = psycopg.connect(
                self._settings.read_address, autocommit=True, connect_timeout=2, target_session_attrs="read-write"
            )
        try:
            changed, number, tag = self._connection.execute(_FILL, (thing,)).fetchall()[0]
            if self._settings.checks_fills:
                self._view.check_fill(fill, Generation(number, bytes(tag)))
        except (OutdatedRead, psycopg.Error):
            self._connection.close()
            self._connection = None
            raise
        assert isinstance(changed, int)
        return changed


def run_worker(settings: NodeSettings) -> None:
    """Use things one after the other until the process is killed, and write each use to a file."""
    while not settings.page.exists() or settings.page.stat().st_size == 0:
        time.sleep(0.01)
    worker = _Worker(settings)
    with closing(settings.uses.open("ab", buffering=0)) as uses:
        number = 0
        while True:
            number = (number + 1) % settings.things
            began = time.monotonic_ns()
            try:
                uses.write(USE.pack(number, began, worker.use(str(number))))
            except LeaseEnded:
                uses.write(USE.pack(REFUSED, began, 0))
            except (OutdatedRead, psycopg.Error):
                # Read at the next use.
                continue
            finally:
                time.sleep(_BETWEEN_USES)
