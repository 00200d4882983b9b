"""Moves between databases, killed at many moments: at each, one database at most can be served, and none is lost.

Each move is a process of its own, forked, so that all of its time is work that can be interrupted.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import pytest
from msgspec.structs import replace

from accounts import succeed
from local_deployment import LocalDeployment, entropy
from postgresql import EMPTYING, SERVER, Cluster
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.databases.postgresql import PostgresqlDatabase
from strongroom.assembly.open_folder import open_existing
from strongroom.assembly.relocation.to_postgresql import MoveToPostgresql
from strongroom.assembly.relocation.to_sqlite import MoveToSqlite
from strongroom.assembly.unsealing import Unsealing
from strongroom.clock import SystemClock
from strongroom.settings import Settings

KEYS = 300
KILLS = int(os.environ.get("MOVE_KILLS", "7"))
"""How many kills in each direction, spread over the time that a move takes: one in each seventh of it."""

CLOCK = SystemClock()


class Scene:
    """A deployment, and the functions that move it there and back."""

    def __init__(self, data: Path, cluster: Cluster, name: str) -> None:
        address = cluster.address(name, SERVER)
        self._cluster, self._name = cluster, name
        deployment = LocalDeployment(data, CLOCK)  # type: ignore[arg-type]  # commands have the real clock
        with closing(deployment.deployment):
            for _ in range(KEYS):
                deployment.call("CreateKey")
        self.data = data
        self.here = deployment.settings
        self.there = replace(self.here, store=address)
        self.moves: dict[str, Callable[[], object]] = {"there": self._move_there, "back": self._move_back}

    def empty(self) -> None:
        """Make the PostgreSQL database one that nothing has moved to."""
        self._cluster.run(*EMPTYING, database=self._name)

    def _database(self) -> PostgresqlDatabase:
        return PostgresqlDatabase(self.there, CLOCK, entropy)

    def _move_there(self) -> None:
        unsealing = Unsealing(self.here, entropy)
        MoveToPostgresql(self.here, self._database(), unsealing, CLOCK, entropy).run(lambda *_: None)

    def _move_back(self) -> None:
        unsealing = Unsealing(self.there, entropy)
        MoveToSqlite(self.there, self._database(), unsealing, CLOCK, entropy, time.sleep).run(lambda *_: None)

    def killed(self, move: str, after: float) -> bool:
        """Run a move, and kill it after some seconds; tell whether it was still at work."""
        process = get_context("fork").Process(target=self.moves[move])
        process.start()
        process.join(after)
        if process.is_alive():
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode in {0, -signal.SIGKILL}
        return process.exitcode != 0

    def served(self) -> list[int]:
        """Return how many keys each database has that can be opened."""
        return [keys for settings in (self.here, self.there) if (keys := self.keys(settings)) is not None]

    def keys(self, settings: Settings) -> int | None:
        try:
            with closing(open_existing(settings, CLOCK, entropy)) as opened, opened.store.read() as reader:
                return sum(reader.keys_by_region().values())
        except DataFolderError:
            return None


@pytest.fixture
def scene(tmp_path: Path, postgresql: Cluster) -> Iterator[Scene]:
    with postgresql.scratch() as name:
        yield Scene(tmp_path / "data", postgresql, name)


def test_a_move_that_is_killed_is_finished_by_the_next(scene: Scene) -> None:
    kills = dict.fromkeys(scene.moves, 0)
    limits = dict.fromkeys(scene.moves, 2.0)
    rounds = 0
    while min(kills.values()) < KILLS:
        for move in scene.moves:
            begun = time.monotonic()
            part = 0.1 + 0.9 * (rounds % 7) / 7
            if scene.killed(move, limits[move] * part):
                kills[move] += 1
                assert scene.served() in ([], [KEYS])
                begun = time.monotonic()
                scene.moves[move]()
            limits[move] = time.monotonic() - begun
            assert scene.served() == [KEYS]
            assert scene.keys(scene.there if move == "there" else scene.here) == KEYS
        scene.empty()
        rounds += 1
    assert "The log is whole." in succeed(scene.data, "audit", "verify")
