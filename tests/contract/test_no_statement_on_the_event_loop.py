"""Nothing on the event loop waits for a database, whatever is cached: statements are left to threads.

On SQLite, one statement remains: the change log, by which the snapshot learns what other processes have committed. It
is a local file, and read only when it has changed. On PostgreSQL, the agent's page has that.
"""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from direct_client import DirectClient
from key_kinds import KeyKind, KeyMaker
from local_deployment import LocalDeployment
from loopback_server import LoopbackServer, run
from node_deployment import NodeDeployment
from postgresql import Cluster
from raw_connections import request_bytes
from statement_watch import StatementWatch
from strongroom.clock import ManualClock
from strongroom.operations.iam.table import IAM_TABLE
from strongroom.operations.kms.table import TABLE
from strongroom.operations.sts.table import STS_TABLE
from valid_requests import ValidRequests

SYMMETRIC = KeyKind("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
KINDS = (
    SYMMETRIC,
    KeyKind("ECC_NIST_P256", "SIGN_VERIFY"),
    KeyKind("HMAC_256", "GENERATE_VERIFY_MAC"),
    KeyKind("ECC_NIST_P256", "KEY_AGREEMENT"),
    KeyKind("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"),
)
IDENTITY_REQUESTS = {
    "UserName": "ann",
    "RoleName": "worker",
    "GroupName": "staff",
    "PolicyName": "rules",
    "PolicyArn": "arn:aws:iam::000000000000:policy/rules",
    "PolicySourceArn": "arn:aws:iam::000000000000:user/ann",
    "ActionNames.member.1": "kms:Encrypt",
    "Arn": "arn:aws:iam::000000000000:user/ann",
    "RoleArn": "arn:aws:iam::000000000000:role/worker",
    "RoleSessionName": "work",
    "PolicyDocument": '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}',
    "AssumeRolePolicyDocument": (
        '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole",'
        '"Principal":{"AWS":"arn:aws:iam::000000000000:root"}}}'
    ),
}
"""Parameters that IAM and STS know; an action ignores those of others."""


@pytest.fixture(params=["sqlite", "postgresql"])
def local(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    if request.param == "sqlite":
        local = LocalDeployment(tmp_path / "data", clock)
        yield local
        local.deployment.close()
    else:
        cluster: Cluster = request.getfixturevalue("postgresql")
        database: str = request.getfixturevalue("database")
        with closing(NodeDeployment(tmp_path / "data", cluster, database)) as node:
            yield node


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_no_operation_on_keys_waits_for_the_database_on_the_event_loop(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch, kind: KeyKind
) -> None:
    if isinstance(local, NodeDeployment) and kind is not SYMMETRIC:
        pytest.skip("the kind of key makes a difference for cryptography alone")
    direct = DirectClient(local)
    maker = KeyMaker(local)
    cases = ValidRequests(maker).requests(maker.make(kind))
    assert {case.operation for case in cases} > {"Encrypt", "DescribeKey", "GetKeyPolicy", "ListGrants", "EnableKey"}
    watch = StatementWatch(local.deployment.backends.store, monkeypatch)
    snapshot = local.deployment.backends.snapshot
    answered: dict[str, int] = {}

    async def scenario(loopback: LoopbackServer) -> None:
        for case in cases:
            # As in a worker that has just started: each call misses every cache.
            snapshot._forget_everything()
            status = await loopback.call(case.operation, **case.request)
            answered[case.operation] = max(status, answered.get(case.operation, 0))
            assert watch.of(threading.get_ident()) == [], case

    run(direct, scenario)
    assert watch.seen
    assert answered["Encrypt"] in {200, 400}
    assert {*answered.values()} <= {200, 400}
    assert set(answered) <= set(TABLE)


def test_no_operation_on_identities_waits_for_the_database_on_the_event_loop(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct = DirectClient(local)
    root = direct.profile()
    watch = StatementWatch(local.deployment.backends.store, monkeypatch)
    snapshot = local.deployment.backends.snapshot
    statuses: list[int] = []
    # What makes something comes first, what removes it last.
    order = sorted(IAM_TABLE, key=lambda name: (name.startswith(("Delete", "Remove")), not name.startswith("Create")))
    calls = [("iam", name) for name in order] + [("sts", name) for name in STS_TABLE]

    async def scenario(loopback: LoopbackServer) -> None:
        for service, name in calls:
            snapshot._forget_everything()
            request = direct.query_request(root, service, name, {}, IDENTITY_REQUESTS)
            statuses.append(await loopback.send(request_bytes(request)))
            assert watch.of(threading.get_ident()) == [], name

    run(direct, scenario)
    assert set(statuses) <= {200, 400, 403, 404, 409}
    # Most of them do something.
    assert statuses.count(200) > len(statuses) / 3


def test_readiness_and_health_are_answered_without_the_event_loop_asking_the_database(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = StatementWatch(local.deployment.backends.store, monkeypatch)

    async def scenario(loopback: LoopbackServer) -> None:
        for path in ("/healthz", "/readyz"):
            assert await loopback.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()) == 200
        assert watch.of(threading.get_ident()) == []

    run(DirectClient(local), scenario)
