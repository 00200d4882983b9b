"""An agent of a node on a thread, and commits that it has to publish."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg

from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.problems import Problems
from strongroom.store.leases.membership import Membership
from strongroom.store.leases.page import PageFile, PageReader, PageWriter
from strongroom.store.leases.view import View
from strongroom.store.postgresql.agent import Agent
from strongroom.store.postgresql.member_connection import MemberConnection

NODE = "0123456789ab"
LEASE = 1.0
CLOCK = SystemClock()


class RunningAgent:
    """An agent on a thread, with the view of a worker."""

    def __init__(
        self, address: str, page: Path, node: str = NODE, poll: float | None = None, lease: float = LEASE
    ) -> None:
        self._file = PageFile(page, CLOCK.boot(), writing=True)
        reader = PageReader(self._file.memory, self._file.place)
        self.page = reader
        self.view = View(reader, CLOCK.uptime, time.sleep)
        writer = PageWriter(self._file.memory, self._file.place)
        self.membership = Membership(node, lease, writer, CLOCK, system_entropy)
        self.problems = Problems()
        connect = partial(MemberConnection, address, lease / 2)
        self.agent = Agent(self.membership, connect, CLOCK, lease, poll=poll, problems=self.problems)
        self._thread = threading.Thread(target=self.agent.run)
        self._thread.start()

    def close(self) -> None:
        """Stop it."""
        self.agent.stop()
        self._thread.join()
        self.agent.close()


def commit(address: str, name: str = "name") -> int:
    """Commit a change, as a write does; return its number."""
    with closing(psycopg.connect(address)) as connection, connection.transaction():
        row = connection.execute(
            "UPDATE generation SET number = number + 1, tag = %s RETURNING number, tag", (system_entropy(8),)
        ).fetchall()[0]
        connection.execute("INSERT INTO change VALUES (%s, %s, 'key', '1', 'r', %s)", (*row, name))
    number: int = row[0]
    return number


def until(condition: Callable[[], bool], most: float = 10.0) -> None:
    deadline = time.monotonic() + most
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
