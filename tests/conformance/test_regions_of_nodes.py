"""Nodes that share a database, and each serve and unseal some of its Regions."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from clients import client_of, client_with, credentials_of
from memory_images import processes_with
from multi_region_keys import EAST, WEST, multi_region_roles, new_primary
from nodes import Node, copy_root_key, initialize, strongroom_on
from postgresql import SERVER, Cluster
from server_processes import wait_until
from strongroom.crypto.domain_keys import IAM_SCOPE, unseal_domain_keys
from strongroom.crypto.seal import SealedDomainKey
from strongroom.crypto.seals.file import load_key_file
from strongroom.crypto.seals.root_key import RootKey, RootKeySeal
from strongroom.entropy import system_entropy

BOTH = f"{EAST},{WEST}"
ALLOWED = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}'


@pytest.fixture
def database(postgresql: Cluster) -> Iterator[str]:
    """Return the name of a database with tables and no rows."""
    with postgresql.scratch() as name:
        yield name


def refusal(error: pytest.ExceptionInfo[ClientError]) -> str:
    told = error.value.response["Error"]
    return f"{told['Code']}: {told['Message']}"


def domain_keys(cluster: Cluster, database: str, data: Path) -> dict[tuple[str, int], bytes]:
    """Unseal all domain keys, as one does who has the database and the root key."""
    with closing(psycopg.connect(cluster.address(database))) as connection:
        rows = connection.execute("SELECT scope, version, sealed FROM domain_key").fetchall()
    seal = RootKeySeal(RootKey(load_key_file(data / "root.key")), system_entropy)
    opened = unseal_domain_keys([SealedDomainKey(row[0], row[1], bytes(row[2])) for row in rows], seal)
    return {(each.scope, each.version): each.key for each in opened}


def require_apart(cluster: Cluster, database: str, east: Node, west: Node) -> None:
    """Make sure that the memory of each node has the domain keys of its own Region, and not those of the other."""
    keys = domain_keys(cluster, database, east.data)
    newest = dict(sorted(keys))
    for (scope, version), key in keys.items():
        for node, region in ((east, EAST), (west, WEST)):
            found = processes_with(node.server, key)
            if scope not in (region, IAM_SCOPE):
                assert not found, f"the node of {region} has the domain key of {scope}"
            elif version == newest[scope]:
                assert found, f"the node of {region} does not have its domain key of {scope}"


def test_nodes_of_one_region_each(  # noqa: PLR0915 - one deployment, because nodes take long to start
    postgresql: Cluster, database: str, tmp_path: Path
) -> None:
    first = tmp_path / "a"

    def node_of(name: str, regions: str) -> Node:
        settings = {"STRONGROOM_STORE": postgresql.address(database, SERVER), "STRONGROOM_LEASE": "2"}
        node = Node(tmp_path / name, first, {**settings, "STRONGROOM_WORKERS": "1", "STRONGROOM_REGIONS": regions})
        if name != "a":
            copy_root_key(first, node.data)
        ending.callback(node.close)
        return node

    with ExitStack() as ending:
        east = node_of("a", EAST)
        initialize(east)
        west, both = node_of("b", WEST), node_of("c", BOTH)
        east.start()
        west.start()
        in_east, in_west = client_of(east.server, EAST), client_of(west.server, WEST)
        for kms in (in_east, in_west):
            key_id = kms.create_key()["KeyMetadata"]["KeyId"]
            blob = kms.encrypt(KeyId=key_id, Plaintext=b"own")["CiphertextBlob"]
            assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"own"
        with pytest.raises(ClientError) as error:
            client_of(east.server, WEST).list_keys()
        assert "does not serve that Region; it serves us-east-1. " in refusal(error)
        require_apart(postgresql, database, east, west)

        # Identities are those of the whole deployment.
        iam = client_with(east.server, "iam", credentials_of(east.server))
        iam.create_user(UserName="anna")
        iam.put_user_policy(UserName="anna", PolicyName="all", PolicyDocument=ALLOWED)
        made = iam.create_access_key(UserName="anna")["AccessKey"]
        access_key = Credentials(made["AccessKeyId"], made["SecretAccessKey"])
        for node, region in ((west, WEST), (east, EAST)):
            client_with(node.server, "kms", access_key, region).list_keys()
        elsewhere = client_with(west.server, "iam", credentials_of(west.server), WEST)
        elsewhere.update_access_key(UserName="anna", AccessKeyId=made["AccessKeyId"], Status="Inactive")
        for node, region in ((west, WEST), (east, EAST)):
            with pytest.raises(ClientError) as error:
                client_with(node.server, "kms", access_key, region).list_keys()
            assert "UnrecognizedClientException" in refusal(error)

        # Key material goes from Region to Region only on a node that serves both.
        key_id = new_primary(in_east)
        with pytest.raises(ClientError) as error:
            in_east.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
        assert refusal(error) == (
            "ValidationException: Region eu-west-1 is not served here; this server serves us-east-1."
        )
        both.start()
        at_both = client_of(both.server, EAST)
        at_both.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
        blob = in_east.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
        assert in_west.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
        with pytest.raises(ClientError) as error:
            in_east.rotate_key_on_demand(KeyId=key_id)
        assert refusal(error) == (
            "UnsupportedOperationException: This node does not serve the Region eu-west-1, so it cannot use key "
            "material of that Region."
        )
        at_both.rotate_key_on_demand(KeyId=key_id)
        blob = in_east.encrypt(KeyId=key_id, Plaintext=b"y")["CiphertextBlob"]
        assert in_west.decrypt(CiphertextBlob=blob)["Plaintext"] == b"y"
        in_east.update_primary_region(KeyId=key_id, PrimaryRegion=WEST)
        assert multi_region_roles(in_west, key_id) == ("PRIMARY", WEST, [EAST])
        assert multi_region_roles(in_east, key_id) == ("REPLICA", WEST, [EAST])
        in_west.disable_key(KeyId=key_id)
        in_east.encrypt(KeyId=key_id, Plaintext=b"x")

        # Commands work on what the node has.
        refused = east.command("domain-keys", "rotate", "--region", WEST)
        assert "this node does not serve eu-west-1; run this on one that does" in refused.stderr
        rotated = east.command("domain-keys", "rotate")
        assert rotated.returncode == 0, rotated.stderr
        assert "eu-west-1: left to a node that serves it" in rotated.stdout
        assert west.command("domain-keys", "rotate", "--region", WEST).returncode == 0
        for kms in (in_east, in_west):
            kms.create_key()
        in_east.encrypt(KeyId=key_id, Plaintext=b"x")
        wait_until(lambda: {version for _, version in domain_keys(postgresql, database, first)} == {1, 2})
        require_apart(postgresql, database, east, west)
        examined = east.command("doctor").stdout
        assert "that of eu-west-1 is left to nodes that serve it" in examined, examined
        assert "every Region that has keys is served" in examined
        backup = east.command("backup", "--unencrypted", "--to", str(tmp_path / "backup"))
        assert backup.returncode == 0, backup.stderr
        for node in (east, west, both):
            told = "".join(log.read_text() for log in node.logs)
            assert "Traceback" not in told, told
            assert node.stop() == 0
        # What reads all key material opens all Regions, with the settings of any node.
        config = tmp_path / "strongroom.toml"
        config.touch()
        places = ("--from", east.environment["STRONGROOM_STORE"], "--to", str(first))
        moved = strongroom_on(east.environment, "migrate", *places, "--config", str(config))
        assert moved.returncode == 0, moved.stderr
        # The file need not name the folder.
        assert f" serve --data {first} --config {config}\n" in moved.stdout
