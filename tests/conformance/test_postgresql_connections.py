"""How a node reaches its database: over TLS with SCRAM, at several hosts, and through a pooler."""

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from botocore.exceptions import ClientError
from mypy_boto3_kms.client import KMSClient

from clients import client_of
from database_tls import Authority, end_connections, require_scram, set_password, use_certificate
from free_ports import free_port
from nodes import Node, initialize
from pgbouncer import Pgbouncer
from postgresql import SERVER, Cluster, prepared_cluster
from server_processes import wait_until

SETTINGS = {"STRONGROOM_LEASE": "2", "STRONGROOM_WORKERS": "1", "STRONGROOM_STORE_TIMEOUT": "2"}
PASSWORD, OTHER = "correct-horse", "battery-staple"


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """Return a server whose settings this module changes."""
    with prepared_cluster() as cluster:
        yield cluster


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def secured(own_cluster: Cluster, authority: Authority) -> Cluster:
    """Return a server that lets the role of servers in over TLS alone, with its password."""
    use_certificate(own_cluster, authority.server())
    require_scram(own_cluster, tls=True)
    set_password(own_cluster, PASSWORD)
    return own_cluster


def address_of(cluster: Cluster, database: str, authority: Authority) -> str:
    return (
        f"postgresql://{SERVER}@127.0.0.1:{cluster.port}/{database}?sslmode=verify-full&channel_binding=require"
        f"&require_auth=scram-sha-256&sslrootcert={authority.certificate}"
    )


def failed_start(node: Node) -> str:
    """Start a node that must end by itself; return the one line that it prints."""
    done = node.command("serve", "--listen", "127.0.0.1:0")
    assert done.returncode == 1, done.stdout
    line = done.stderr.rstrip("\n")
    assert "\n" not in line, line
    return line


def require_no_traceback(node: Node) -> None:
    log = "".join(log.read_text() for log in node.logs)
    assert "Traceback" not in log, log[log.index("Traceback") :]


def outcome(kms: KMSClient, key_id: str) -> str:
    """Use a key and change it; return the code of the error, or nothing."""
    try:
        kms.encrypt(KeyId=key_id, Plaintext=b"x")
        kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "a", "TagValue": "b"}])
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def test_tls_and_scram(secured: Cluster, authority: Authority, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    with secured.scratch() as database:
        store = address_of(secured, database, authority)
        environment = {**SETTINGS, "STRONGROOM_STORE": store, "STRONGROOM_STORE_PASSWORD_FILE": str(password)}
        node = Node(tmp_path / "a", tmp_path / "a", environment)
        with closing(node):
            initialize(node)
            node.start()
            kms = client_of(node.server)
            key_id = kms.create_key()["KeyMetadata"]["KeyId"]
            assert outcome(kms, key_id) == ""
            with closing(psycopg.connect(secured.address())) as connection:
                found = connection.execute(
                    "SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity USING (pid) WHERE usename = %s",
                    (SERVER,),
                ).fetchall()
            assert len(found) >= 2
            assert all(row[0] for row in found)

            # A password that was changed in the database, and later in the file.
            set_password(secured, OTHER)
            wait_until(lambda: outcome(kms, key_id) == "DependencyTimeoutException")
            wait_until(lambda: "password authentication failed" in node.logs[0].read_text())
            password.write_text(OTHER)
            wait_until(lambda: outcome(kms, key_id) == "")

            # A certificate that has expired, one of another authority, and one that is right again.
            strange = Authority(tmp_path, "strange")
            for pair, said in (
                (authority.server(ends=timedelta(days=-1)), "certificate verify failed"),
                (strange.server(), "certificate verify failed"),
                (authority.server("127.0.0.2"), 'does not match host name "127.0.0.1"'),
            ):
                use_certificate(secured, pair)
                end_connections(secured)
                wait_until(lambda: outcome(kms, key_id) == "DependencyTimeoutException")
                wait_until(lambda said=said: said in node.logs[0].read_text())  # type: ignore[misc]
                assert said in failed_start(Node(tmp_path / "b", tmp_path / "a", environment))
                use_certificate(secured, authority.server())
                wait_until(lambda: outcome(kms, key_id) == "")
            log = node.logs[0].read_text()
            assert "Traceback" not in log
            assert PASSWORD not in log
            assert OTHER not in log
            assert node.stop() == 0

        password.write_text("wrong")
        assert re.fullmatch(
            rf"Error: `127.0.0.1:\d+/{database}` cannot be reached \(.*password authentication failed .*\); see "
            "whether its database server runs, and whether this server may connect to it",
            failed_start(node),
        )
        password.write_text(OTHER)
        require_scram(secured, tls=False)
        assert "no pg_hba.conf entry" in failed_start(node)
        secured.run("ALTER SYSTEM SET ssl = off")
        secured.reload()
        assert "server does not support SSL, but SSL was required" in failed_start(node)


def test_the_host_that_can_be_written_is_used(own_cluster: Cluster, tmp_path: Path) -> None:
    own_cluster.put("pg_hba.conf", b"host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n")
    own_cluster.reload()
    standby = Cluster(standby_of=own_cluster)
    try:
        with own_cluster.scratch() as database:
            ports = f"{free_port()},{standby.port},{own_cluster.port}"
            store = f"host=127.0.0.1,127.0.0.1,127.0.0.1 port={ports} dbname={database} user={SERVER}"
            node = Node(tmp_path / "a", tmp_path / "a", {**SETTINGS, "STRONGROOM_STORE": store})
            with closing(node):
                initialize(node)
                node.start()
                kms = client_of(node.server)
                key_id = kms.create_key()["KeyMetadata"]["KeyId"]
                # The former primary is gone, and a standby takes its place.
                with closing(psycopg.connect(own_cluster.address())) as connection:
                    row = connection.execute("SELECT pg_current_wal_lsn()").fetchone()
                assert row is not None
                wait_until(lambda: received(standby, str(row[0])))
                own_cluster.stop("immediate")
                wait_until(lambda: outcome(kms, key_id) == "DependencyTimeoutException")
                standby.promote()
                wait_until(lambda: outcome(kms, key_id) == "")
                require_no_traceback(node)
                assert node.stop() == 0
            own_cluster.start()
    finally:
        standby.remove()


def received(standby: Cluster, position: str) -> bool:
    """Tell whether a standby has replayed the log up to a position."""
    with closing(psycopg.connect(standby.address())) as connection:
        row = connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (position,)).fetchone()
    return row is not None and bool(row[0])


def test_calls_go_through_a_pooler_and_leases_do_not(postgresql: Cluster, tmp_path: Path) -> None:
    with postgresql.scratch() as database, Pgbouncer(postgresql) as pooler:
        pooled, direct = pooler.address(database, SERVER), postgresql.address(database, SERVER)
        environment = {**SETTINGS, "STRONGROOM_STORE": pooled}
        node = Node(tmp_path / "a", tmp_path / "a", environment)
        with closing(node):
            refused = node.command("init").stderr
            assert refused == (
                f"Error: the database `127.0.0.1:{pooler.port}/{database}`: a pooler is between, which may send each "
                "statement to another server: give the address of the database server itself in `store-direct`\n"
            )
            with postgresql.scratch() as other:
                node.environment["STRONGROOM_STORE_DIRECT"] = postgresql.address(other, SERVER)
                assert "lead to different databases; correct one" in node.command("init").stderr
            node.environment["STRONGROOM_STORE_DIRECT"] = direct
            initialize(node)
            second = Node(tmp_path / "b", tmp_path / "a", {**SETTINGS, "STRONGROOM_STORE": direct})
            second.data.mkdir(mode=0o700)
            (second.data / "root.key").write_bytes((node.data / "root.key").read_bytes())
            (second.data / "root.key").chmod(0o600)
            with closing(second):
                node.start()
                second.start()
                through, beside = client_of(node.server), client_of(second.server)
                for _ in range(30):
                    key_id = through.create_key()["KeyMetadata"]["KeyId"]
                    assert beside.encrypt(KeyId=key_id, Plaintext=b"x")["KeyId"]
                    through.disable_key(KeyId=key_id)
                    with pytest.raises(ClientError) as error:
                        beside.encrypt(KeyId=key_id, Plaintext=b"x")
                    assert error.value.response["Error"]["Code"] == "DisabledException"
                    beside.enable_key(KeyId=key_id)
                    through.encrypt(KeyId=key_id, Plaintext=b"x")
                # What the pooler has of the database is less than what the node has of the pooler.
                assert pooler.servers() <= pooler.POOL
                pooler.restart()
                wait_until(lambda: outcome(through, key_id) == "")
                for each in (node, second):
                    require_no_traceback(each)
                    assert each.stop() == 0
