"""The audit log of two servers on one PostgreSQL: verified and searched together, and after one was lost."""

import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from botocore.exceptions import ClientError

from clients import client_of
from nodes import Node, Nodes, nodes_of, running_nodes, strongroom_on
from postgresql import Cluster
from server_processes import wait_until

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

SETTINGS = {"STRONGROOM_LEASE": "3", "STRONGROOM_KEEPER_INTERVAL": "1"}
CALLS = 3
QUOTA = 6


@pytest.fixture
def nodes(postgresql: Cluster, tmp_path: Path) -> Iterator[Nodes]:
    """Return two servers, each with the calls of one client in its log."""
    with (
        postgresql.scratch() as database,
        running_nodes(nodes_of(postgresql, database, tmp_path / "data", 2, settings=SETTINGS)) as nodes,
    ):
        for number, node in enumerate(nodes):
            for _ in range(CALLS):
                client_of(node.server).generate_random(NumberOfBytes=number + 1)
        yield nodes


@pytest.fixture
def limited(postgresql: Cluster, tmp_path: Path) -> Iterator[Nodes]:
    """Return two servers with a request quota."""
    config = tmp_path / "strongroom.toml"
    config.write_text(f'[[request-quotas]]\nrequests = "ListAliases"\nper-second = {QUOTA}\n')
    options = ("--config", str(config))
    with (
        postgresql.scratch() as database,
        running_nodes(nodes_of(postgresql, database, tmp_path / "data", 2, *options, settings=SETTINGS)) as nodes,
    ):
        yield nodes


def node_id(node: Node) -> str:
    return (node.data / "node-id").read_text().splitlines()[-1]


def run(node: Node, *arguments: str, code: int = 0) -> str:
    done = node.command(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout or done.stderr


def logged(node: Node, *parts: str) -> bool:
    """Tell whether one line of the node's log has all of these parts."""
    return any(all(part in line for part in parts) for line in node.logs[-1].read_text().splitlines())


def refusal(node: Node) -> str:
    """Return the error that a call gets, empty if it is answered."""
    try:
        client_of(node.server).generate_random(NumberOfBytes=1)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def last_use(node: Node, key: str) -> str | None:
    usage = client_of(node.server).get_key_last_usage(KeyId=key)["KeyLastUsage"]
    return usage.get("Operation")


def test_two_servers_have_one_log_of_which_one_part_is_lost(nodes: Nodes) -> None:
    first, second = nodes[0], nodes[1]
    lost = node_id(second)
    words = run(first, "audit", "verify", "--from", str(second.data))
    assert "The log is whole." in words
    assert f"node {node_id(first)}: w0 (not stopped)" in words
    assert f"node {lost}: w0 (not stopped); {CALLS} records from " in words
    # Without the folder of a node, it is not judged, unless all must be there.
    words = run(first, "audit", "verify")
    assert f"node {lost}: w0; not judged, because its folder is not given (--from)" in words
    found = run(first, "audit", "search", "--event", "GenerateRandom", "--json", "--from", str(second.data))
    records = [json.loads(line) for line in found.splitlines()]
    times = [each["eventTime"] for each in records]
    assert times == sorted(times)
    assert sorted(each["requestParameters"]["numberOfBytes"] for each in records) == [1] * CALLS + [2] * CALLS
    assert len({each["chain"]["writer"] for each in records}) == 2
    # A node that serves cannot be retired.
    assert f"node {lost} serves the database" in run(first, "audit", "retire", lost, code=1)

    second.kill()
    shutil.rmtree(second.data)
    words = run(first, "audit", "verify", "--complete", code=1)
    assert f"the database has a checkpoint of writer {lost}w0, and there is no file of it: " in words
    assert "lines up to " in words
    wait_until(lambda: first.command("audit", "retire", lost).returncode == 0)
    for options in ((), ("--complete",)):
        words = run(first, "audit", "verify", *options, code=1)
        assert f"LOST: node {lost} was retired at " in words
        assert "FILE MISSING" not in words
        assert "What is missing was lost with nodes that were retired." in words
    run(first, "audit", "verify", "--accept-lost")
    # That is known, so it is only a warning.
    (told,) = [line for line in first.command("doctor").stdout.splitlines() if "was retired at" in line]
    assert "warning" in told.lower()


def test_a_server_that_was_retired_serves_no_longer(nodes: Nodes) -> None:
    """By mistake, or because its machine came back: its lease ends, and it does not start again."""
    first, second = nodes[0], nodes[1]
    retired = node_id(second)
    with psycopg.connect(first.environment["STRONGROOM_STORE"]) as connection:
        connection.execute("INSERT INTO retired_node VALUES (%s, 1, %s)", (retired, f"{node_id(first)}cli"))
    wait_until(lambda: bool(refusal(second)))
    assert refusal(second) in ("DependencyTimeoutException", "KMSInternalException")
    client_of(first.server).generate_random(NumberOfBytes=1)
    remedy = f"run `strongroom audit retire --undo {retired}` on another node"
    wait_until(lambda: logged(second, "this node has no lease, and refuses calls", remedy))
    second.stop()
    done = second.command("serve", "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    assert f"node {retired} was retired" in done.stderr.splitlines()[-1]


def test_a_server_whose_retirement_is_taken_back_serves_again_without_a_restart(nodes: Nodes) -> None:
    first, second = nodes[0], nodes[1]
    retired = node_id(second)
    # Forged: the first node has stated nothing.
    with psycopg.connect(first.environment["STRONGROOM_STORE"]) as connection:
        connection.execute("INSERT INTO retired_node VALUES (%s, 1, %s)", (retired, f"{node_id(first)}cli"))
    # Both the agent and the worker, which cannot record its chain, have met it.
    wait_until(lambda: logged(second, "this node has no lease, and refuses calls"))
    wait_until(lambda: logged(second, "calls are refused: node", "so its chains count as lost"))
    assert f"Node {retired} is not retired any more" in run(first, "audit", "retire", "--undo", retired)
    wait_until(lambda: not refusal(second))
    client_of(second.server).generate_random(NumberOfBytes=77)
    wait_until(lambda: logged(second, "the retirement of this node was taken back"))
    assert "is not retired" in run(first, "audit", "retire", "--undo", retired, code=1)
    second.stop()
    words = run(first, "audit", "verify", "--from", str(second.data), "--complete")
    assert "The log is whole." in words
    found = run(second, "audit", "search", "--event", "GenerateRandom", "--json")
    assert json.loads(found.splitlines()[-1])["requestParameters"]["numberOfBytes"] == 77


def test_the_last_use_of_a_key_is_found_on_every_node_within_an_interval(nodes: Nodes) -> None:
    first, second = nodes[0], nodes[1]
    key = client_of(first.server).create_key()["KeyMetadata"]["KeyId"]
    client_of(first.server).encrypt(KeyId=key, Plaintext=b"x")
    assert last_use(first, key) == "Encrypt"
    wait_until(lambda: last_use(second, key) == "Encrypt")
    client_of(second.server).generate_data_key(KeyId=key, KeySpec="AES_256")
    assert last_use(second, key) == "GenerateDataKey"
    wait_until(lambda: last_use(first, key) == "GenerateDataKey")


def test_servers_share_a_request_quota_by_their_workers(limited: Nodes) -> None:
    first, second = limited[0], limited[1]
    clients = [client_of(first.server) for _ in range(QUOTA)]

    def refused() -> int:
        """Use the whole quota at once, when it is full again; count what is refused."""
        time.sleep(1.2)
        with ThreadPoolExecutor(QUOTA) as threads:
            return sum(threads.map(is_refused, clients))

    wait_until(lambda: refused() > 0)
    second.stop()
    wait_until(lambda: refused() == 0)


def is_refused(client: "KMSClient") -> bool:
    try:
        client.list_aliases()
    except ClientError as error:
        if error.response["Error"]["Code"] != "ThrottlingException":
            raise
        return True
    return False


def test_a_copy_of_a_data_folder_is_refused_beside_the_server_that_it_is_a_copy_of(
    nodes: Nodes, tmp_path: Path
) -> None:
    first = nodes[0]
    copied = tmp_path / "copy"
    shutil.copytree(first.data, copied, ignore=shutil.ignore_patterns("metrics"))
    serve = ("serve", "--listen", "127.0.0.1:0", "--data", str(copied))
    done = strongroom_on(first.environment, *serve)
    assert done.returncode == 1
    assert f"another server serves as node {node_id(first)}, from a copy of `{copied}`" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    client_of(first.server).generate_random(NumberOfBytes=1)
    assert "The log is whole." in run(first, "audit", "verify", "--from", str(nodes[1].data))
    # The same folder starts again at once after a kill: its page knows the lease that it had.
    first.kill()
    first.start()
    client_of(first.server).generate_random(NumberOfBytes=1)
    assert "The log is whole." in run(first, "audit", "verify", "--from", str(nodes[1].data))
