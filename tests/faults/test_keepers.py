"""Several nodes keep one database, are stopped and killed at random, and do all that is due exactly once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random  # noqa: TID251 - with a seed, so that a failure can be repeated
from typing import Any

import pytest

from audits import audit_records
from cluster_deployment import new_store
from keeper_node import CLUSTER, ClockAhead, KeeperNode
from postgresql import SERVER, Cluster
from server_processes import wait_until
from softhsm import new_token
from strongroom.assembly.clock_record import ClockFiles
from strongroom.clock import DAY, ManualClock, SystemClock
from strongroom.entropy import system_entropy
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.maintenance.clock_watch import reading_of
from strongroom.problems import Subject
from strongroom.store.postgresql.engine import open_postgresql
from strongroom.store.postgresql.store import PostgresqlStore
from strongroom.store.protocol import Readable
from token_objects import ids_of_secret_keys

ACCOUNT = "000000000000"
LABEL = "keepers"
NODES = 3
SCALE = int(os.environ.get("KEEPERS_SCALE", "1"))
"""How many times as many keys there are, and as long the nodes are disturbed, as in CI."""
ROTATED, DELETED, IN_CLUSTER, RELATED = 60 * SCALE, 50 * SCALE, 40 * SCALE, 10 * SCALE
SECONDS = 8.0 * SCALE
SEED = int(os.environ.get("KEEPERS_SEED", "13"))
EAST, WEST = "us-east-1", "eu-west-1"
AGO = 400 * DAY
PATIENCE = 240
PAUSE = 600
"""For how many seconds a busy machine may keep a process from going on between two looks at a clock."""


class World:
    """A database, a token, and the data folders of some nodes. The keys were made long ago, and are all due."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder = folder
        self.store = store
        self.environment = new_token(folder, LABEL)
        os.environ.update(self.environment)
        first = self.node(0)
        first.mkdir()
        with closing(KeeperNode(first, store, LABEL, SystemClock(), first=True)):
            pass
        for number in range(1, NODES):
            self.node(number).mkdir(mode=0o700)
            for name in ("root.key", "credentials"):
                shutil.copy2(first / name, self.node(number) / name)

    def node(self, number: int) -> Path:
        return self.folder / f"node{number}"

    def at(self, number: int, days: float = 0.0, *, believed: bool = True) -> KeeperNode:
        return KeeperNode(self.node(number), self.store, LABEL, ClockAhead(days), believed=believed)

    def start(self, number: int) -> "subprocess.Popen[bytes]":
        """Start a node that keeps the database."""
        program = [sys.executable, str(Path(__file__).parents[1] / "support" / "keeper_node.py")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with self.log(number).open("ab") as log:
            return subprocess.Popen([*program, str(self.node(number)), self.store, LABEL], env=environment, stderr=log)

    def log(self, number: int) -> Path:
        return self.folder / f"log{number}"

    def reader(self) -> PostgresqlStore:
        """Open the database without the rights of a node."""
        return PostgresqlStore(open_postgresql(self.store), system_entropy)

    def make_keys(self) -> dict[str, list[str]]:
        """Make keys of each kind; return their ids."""
        clock = ManualClock(SystemClock.now() - AGO)
        with closing(KeeperNode(self.node(0), self.store, LABEL, clock)) as node:
            store_id = new_store(node, CLUSTER)
            made = {
                "rotated": [_new(node) for _ in range(ROTATED)],
                "deleted": [_new(node) for _ in range(DELETED)],
                "cluster": [_new(node, Origin="AWS_CLOUDHSM", CustomKeyStoreId=store_id) for _ in range(IN_CLUSTER)],
                "related": [_new(node, MultiRegion=True) for _ in range(RELATED)],
                "left": [_new(node, Origin="AWS_CLOUDHSM", CustomKeyStoreId=store_id)],
            }
            for key_id in made["related"]:
                node.call("ReplicateKey", KeyId=key_id, ReplicaRegion=WEST)
            for key_id in (*made["rotated"], *made["related"]):
                node.call("EnableKeyRotation", KeyId=key_id, RotationPeriodInDays=365)
            for key_id in (*made["deleted"], *made["cluster"]):
                node.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
        return made


def _new(node: KeeperNode, **asked: Any) -> str:
    key_id: str = node.call("CreateKey", **asked)["KeyMetadata"]["KeyId"]
    return key_id


def key_of(node: KeeperNode, key_id: str, region: str = EAST) -> KmsKey | None:
    with node.store.read() as reader:
        return reader.key(KeyLocator(ACCOUNT, region, key_id))


def objects(node: KeeperNode) -> list[str]:
    """Return the ids of the objects in the token."""
    with node.store.read() as reader:
        (store,) = reader.all_custom_key_stores()

    clusters: Any = node.deployment.backends.clusters
    found: list[bytes] = clusters.token_of(ACCOUNT, EAST, store.store_id, now=True).run(ids_of_secret_keys)
    return [each.hex() for each in found]


def left(store: Readable) -> int:
    """Count the keys that are due, and what is left to destroy."""
    now = SystemClock.now()
    with store.read() as reader:
        return (
            len(reader.keys_to_rotate(now, 1000))
            + len(reader.keys_to_delete(now, 1000))
            + reader.destruction_backlog().count
        )


def until_done(store: Readable) -> None:
    """Wait until nothing is left; fail if nothing was done for some minutes.

    What a killed node was about to destroy is due some seconds later.
    """
    remaining, since = left(store), time.monotonic()
    while remaining:
        time.sleep(0.2)
        now = left(store)
        if now < remaining:
            remaining, since = now, time.monotonic()
        assert time.monotonic() < since + PATIENCE


@pytest.fixture
def world(postgresql: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("SOFTHSM2_CONF", "")
    with postgresql.scratch() as name:
        yield World(tmp_path, f"postgresql://{SERVER}@127.0.0.1:{postgresql.port}/{name}")


class Disturbed:
    """Nodes that keep a database, of which one at a time is stopped for a moment, or killed and started again."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = Random(seed)  # noqa: S311 - not for keys
        self._running = {number: world.start(number) for number in range(NODES)}
        self.kills = self.stops = 0

    def disturb(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(self._random.uniform(0.1, 0.6))
            number = self._random.randrange(NODES)
            process = self._running[number]
            assert process.poll() is None, self._world.log(number).read_text()[-2000:]
            if self._random.random() < 0.6:
                os.kill(process.pid, signal.SIGSTOP)
                time.sleep(self._random.uniform(0.1, 1.0))
                os.kill(process.pid, signal.SIGCONT)
                self.stops += 1
            else:
                process.kill()
                process.wait()
                self._running[number] = self._world.start(number)
                self.kills += 1

    def end(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()


def require_done(node: KeeperNode, made: dict[str, list[str]]) -> None:
    """Fail unless all keys are as they have to be, and the token has what is left."""
    assert left(node.store) == 0
    for key_id in (*made["rotated"], *made["related"]):
        key = key_of(node, key_id)
        assert key is not None
        assert len(key.materials) == 2
    for key_id in made["related"]:
        primary, replica = key_of(node, key_id), key_of(node, key_id, WEST)
        assert primary is not None
        assert replica is not None
        assert [each.material_id for each in primary.materials] == [each.material_id for each in replica.materials]
    assert all(key_of(node, key_id) is None for key_id in (*made["deleted"], *made["cluster"]))
    kept = key_of(node, made["left"][0])
    assert kept is not None
    assert objects(node) == [kept.materials[0].material_id]


def recorded(world: World) -> dict[tuple[str, str], Counter[str]]:
    """Return how often each id of an event was recorded, by its name and key."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for number in range(NODES):
        for record in audit_records(world.node(number)):
            if record.get("eventType") == "AwsServiceEvent":
                found[record["eventName"], record["serviceEventDetails"]["keyId"]][record["eventID"]] += 1
    return found


def told(world: World) -> dict[tuple[str, str], Counter[str]]:
    """Return how often each id of an event for other programs was spooled, by its detail type and key."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for number in range(NODES):
        folder = world.node(number) / "events"
        for path in (folder / "intended").iterdir():
            # A kill before the commit has left it, and another node has rotated the key: it is dropped later.
            undecided = json.loads(path.read_bytes())
            assert undecided["detail-type"] == "KMS CMK Rotation"
            with closing(world.at(number)) as node:
                key = key_of(node, undecided["detail"]["key-id"])
            assert key is not None
            assert undecided["detail"]["current-key-material-id"] not in {each.material_id for each in key.materials}
        for path in (folder / "ready").iterdir():
            event = json.loads(path.read_bytes())
            found[event["detail-type"], event["detail"]["key-id"]][event["id"]] += 1
    return found


def test_nodes_that_are_stopped_and_killed_do_everything_once(world: World) -> None:
    made = world.make_keys()
    disturbed = Disturbed(world, seed=SEED)
    try:
        disturbed.disturb(SECONDS)
        with closing(world.reader()) as reader:
            until_done(reader)
    finally:
        disturbed.end()
    for number in range(NODES):
        with closing(world.at(number)) as node:
            # What a kill has left of events is decided.
            node.keeper.run()
    with closing(world.at(0)) as node:
        require_done(node, made)
    events = recorded(world)
    expected = {("RotateKey", key_id) for key_id in (*made["rotated"], *made["related"])}
    expected |= {("DeleteKey", key_id) for key_id in (*made["deleted"], *made["cluster"])}
    assert events.keys() == expected
    assert {len(each) for each in events.values()} == {1}
    again = sum(each.total() - 1 for each in events.values())
    # Each was recorded by a node that was killed before its commit, or stopped until the database gave it up.
    assert again <= disturbed.kills + disturbed.stops
    sent = told(world)
    expected = {("KMS CMK Rotation", key_id) for key_id in (*made["rotated"], *made["related"])}
    expected |= {("KMS CMK Deletion", key_id) for key_id in (*made["deleted"], *made["cluster"])}
    assert sent.keys() == expected
    # Two nodes may tell of a change that one of them has made, if the other was stopped before its commit and killed.
    assert {len(each) for each in sent.values()} == {1}
    assert sum(each.total() - 1 for each in sent.values()) <= disturbed.kills + disturbed.stops


def test_a_node_whose_clock_is_a_month_ahead_of_the_others_does_nothing_early(world: World) -> None:
    with closing(world.at(0)) as node:
        key_id, rotating = _new(node), _new(node)
        node.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=30)
        node.call("EnableKeyRotation", KeyId=rotating, RotationPeriodInDays=90)
    for days in (31, 100):
        with closing(world.at(1, days)) as ahead:
            # Its operator believes it.
            ClockFiles(ahead.opened.folder).accept(reading_of(ahead.clock))
            for _ in range(3):
                ahead.keeper.run()
            assert ahead.watch.difference == pytest.approx(0.0, abs=PAUSE)
            assert ahead.keeper.counters.database_clock_difference == pytest.approx(days * DAY, abs=PAUSE)
            assert not any(ahead.keeper.counters.keys.values())
            (problem,) = [each.text for each in ahead.problems.current() if each.subject is Subject.DATABASE_CLOCK]
            assert f"the clock of this machine is {days}.0 days ahead of that of the database" in problem
            assert key_of(ahead, key_id) is not None
            key = key_of(ahead, rotating)
            assert key is not None
            assert len(key.materials) == 1


def test_a_waiting_period_that_a_node_with_a_slow_clock_begins_is_a_whole_one(world: World) -> None:
    with closing(world.at(1, -60, believed=False)) as behind:
        ClockFiles(behind.opened.folder).accept(reading_of(behind.clock))
        behind.keeper.run()
        assert behind.watch.latest(behind.clock.now()) == pytest.approx(SystemClock.now(), abs=PAUSE)
        key_id = _new(behind)
        behind.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    with closing(world.at(0)) as node:
        for _ in range(3):
            node.keeper.run()
        key = key_of(node, key_id)
        assert key is not None
        assert key.deletion_at == pytest.approx(SystemClock.now() + 7 * DAY, abs=PAUSE)


def test_the_turn_ends_by_the_clock_of_the_database(world: World) -> None:
    with closing(world.reader()) as one, closing(world.reader()) as two:
        assert one.take_turn("one", 0.5)
        wait_until(lambda: two.take_turn("two", PAUSE))
        assert two.take_turn("two", PAUSE)
        assert not one.take_turn("one", PAUSE)
