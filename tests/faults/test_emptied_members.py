"""A person empties the table of nodes while two servers serve: none uses what a change has taken away."""

import os
import signal
from pathlib import Path

from botocore.exceptions import ClientError
from mypy_boto3_kms.client import KMSClient

from clients import client_of
from nodes import Node, nodes_of, running_nodes
from postgresql import Cluster
from server_processes import wait_until

SETTINGS = {"STRONGROOM_LEASE": "8", "STRONGROOM_WORKERS": "1"}


ATTEMPTS = 5
"""On a busy machine the lease may have ended before it is used."""


def refusal(client: KMSClient, key: str) -> str:
    """Return the error that Encrypt gets, empty if it is allowed."""
    try:
        client.encrypt(KeyId=key, Plaintext=b"x")
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def test_a_change_waits_for_a_server_that_is_not_in_the_table_any_more(postgresql: Cluster, tmp_path: Path) -> None:
    """Its agent is stopped, so it cannot find out, and serves from memory until its lease ends."""
    with (
        postgresql.scratch() as database,
        running_nodes(nodes_of(postgresql, database, tmp_path / "data", 2, settings=SETTINGS)) as nodes,
    ):
        first, second = nodes
        assert any(_serves_by_its_lease(first, second, postgresql, database) for _ in range(ATTEMPTS))


def _serves_by_its_lease(first: Node, second: Node, postgresql: Cluster, database: str) -> bool:
    """Empty the table while a node cannot find out, and change a key; tell whether the node served before."""
    changing, using = client_of(first.server), client_of(second.server)
    key = changing.create_key()["KeyMetadata"]["KeyId"]
    wait_until(lambda: refusal(using, key) == "")
    agents = second.agents
    for agent in agents:
        os.kill(agent, signal.SIGSTOP)
    try:
        postgresql.run("TRUNCATE member", database=database)
        served = refusal(using, key) == ""
        changing.disable_key(KeyId=key)
        assert refusal(using, key) in {"DisabledException", "DependencyTimeoutException"}
    finally:
        for agent in agents:
            os.kill(agent, signal.SIGCONT)
    return served
