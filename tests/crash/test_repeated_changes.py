"""A change whose answer was lost and that a client repeats elsewhere: the second answer counts on every node, too."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest

from fast_client import CallRefused, FastClient, NoAnswer
from nodes import Node, Nodes, nodes_of, running_nodes
from postgresql import Cluster
from server_processes import PATIENCE, wait_until

LEASE = 6
PLAINTEXT = "cmVwZWF0ZWQ="
ATTEMPTS = 5
"""On a busy machine the lease may have ended before the change is repeated."""


@pytest.fixture
def nodes(postgresql: Cluster, tmp_path: Path) -> Iterator[Nodes]:
    settings = {"STRONGROOM_LEASE": str(LEASE), "STRONGROOM_WORKERS": "1"}
    with (
        postgresql.scratch() as database,
        running_nodes(nodes_of(postgresql, database, tmp_path / "data", 3, settings=settings)) as running,
    ):
        yield running


def encrypts(node: Node, key_id: str) -> bool:
    """Tell whether a node encrypts with a key; refusals of any kind are no."""
    client = FastClient(node.server)
    try:
        client("Encrypt", KeyId=key_id, Plaintext=PLAINTEXT)
    except CallRefused as error:
        if error.code not in {"DisabledException", "DependencyTimeoutException"}:
            raise
        return False
    finally:
        client.close()
    return True


def is_disabled(node: Node, key_id: str) -> bool:
    """Tell whether the database has a key as disabled."""
    with closing(psycopg.connect(node.environment["STRONGROOM_STORE"])) as connection:
        found = connection.execute("SELECT state FROM kms_key WHERE key_id = %s", (key_id,)).fetchall()
    return found == [("Disabled",)]


def test_a_change_repeated_on_another_node_waits_for_all_nodes_as_well(nodes: Nodes) -> None:
    first, second, third = nodes
    assert any(_repeated(first, second, third) for _ in range(ATTEMPTS))


def _repeated(first: Node, second: Node, third: Node) -> bool:
    """Disable a key on a node that is killed before it answers, and again on another.

    The third node cannot learn of it and serves under its lease. Returns False if that had ended by then.
    """
    client = FastClient(second.server, patience=PATIENCE)
    key_id: str = client("CreateKey")["KeyMetadata"]["KeyId"]
    wait_until(lambda: encrypts(third, key_id))
    answers: list[object] = []
    agents = third.agents
    for agent in agents:
        os.kill(agent, signal.SIGSTOP)
    try:
        lost = threading.Thread(target=_disable, args=(first, key_id, answers))
        lost.start()
        wait_until(lambda: is_disabled(second, key_id))
        first.kill()
        lost.join()
        served_before = encrypts(third, key_id)
        assert not (answers and served_before), "the change was answered although a node could not know it"
        client("DisableKey", KeyId=key_id)
        assert not encrypts(third, key_id)
    finally:
        for agent in agents:
            os.kill(agent, signal.SIGCONT)
        client.close()
        first.start()
    return served_before


def _disable(node: Node, key_id: str, answers: list[object]) -> None:
    client = FastClient(node.server, patience=PATIENCE)
    with suppress(NoAnswer):
        answers.append(client("DisableKey", KeyId=key_id))
    client.close()
