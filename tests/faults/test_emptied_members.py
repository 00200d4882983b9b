"""A person empties the table of nodes while two servers serve: none uses what a change has taken away."""

import os
import signal
from pathlib import Path

from botocore.exceptions import ClientError

from clients import client_of
from nodes import Node, nodes_of, running_nodes
from postgresql import Cluster

SETTINGS = {"STRONGROOM_LEASE": "8", "STRONGROOM_WORKERS": "1"}


def refusal(node: Node, key: str) -> str:
    """Return the error that Encrypt gets, empty if it is allowed."""
    try:
        client_of(node.server).encrypt(KeyId=key, Plaintext=b"x")
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
        key = client_of(first.server).create_key()["KeyMetadata"]["KeyId"]
        assert refusal(second, key) == ""
        for agent in second.agents:
            os.kill(agent, signal.SIGSTOP)
        assert refusal(second, key) == ""
        postgresql.run("TRUNCATE member", database=database)
        client_of(first.server).disable_key(KeyId=key)
        assert refusal(second, key) in {"DisabledException", "DependencyTimeoutException"}
        for agent in second.agents:
            os.kill(agent, signal.SIGCONT)
