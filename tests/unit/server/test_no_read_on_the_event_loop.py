"""No call reads the database on the event loop, whatever is cached: reads and fills of caches are left to threads.

One read remains: the change log, by which the snapshot learns what other processes have committed.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from direct_client import DirectClient
from key_kinds import KeyKind, KeyMaker
from local_deployment import LocalDeployment
from loopback_server import LoopbackServer, run
from strongroom.clock import ManualClock
from strongroom.operations.kms.table import TABLE
from valid_requests import ValidRequests

KINDS = (
    KeyKind("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
    KeyKind("ECC_NIST_P256", "SIGN_VERIFY"),
    KeyKind("HMAC_256", "GENERATE_VERIFY_MAC"),
    KeyKind("ECC_NIST_P256", "KEY_AGREEMENT"),
    KeyKind("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"),
)


@pytest.fixture
def direct(tmp_path: Path, clock: ManualClock) -> Iterator[DirectClient]:
    local = LocalDeployment(tmp_path / "data", clock)
    yield DirectClient(local)
    local.deployment.close()


class ReadWatch:
    """Notes the thread of every read of a deployment's store."""

    def __init__(self, local: LocalDeployment, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: set[int] = set()
        store: Any = local.deployment.backends.store
        whole: Callable[[], Any] = store.read

        @contextmanager
        def read() -> Iterator[Any]:
            self.threads.add(threading.get_ident())
            with whole() as reader:
                yield reader

        monkeypatch.setattr(store, "read", read)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_no_operation_reads_the_database_on_the_event_loop(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch, kind: KeyKind
) -> None:
    local = direct.local
    maker = KeyMaker(local)
    cases = ValidRequests(maker).requests(maker.make(kind))
    assert {case.operation for case in cases} > {"Encrypt", "DescribeKey", "GetKeyPolicy", "ListGrants", "EnableKey"}
    watch = ReadWatch(local, monkeypatch)
    snapshot = local.deployment.backends.snapshot
    answered: dict[str, int] = {}

    async def scenario(loopback: LoopbackServer) -> None:
        loop = threading.get_ident()
        for case in cases:
            # As in a worker that has just started: each call misses every cache.
            snapshot._forget_everything()
            status = await loopback.call(case.operation, **case.request)
            answered[case.operation] = max(status, answered.get(case.operation, 0))
            assert loop not in watch.threads, case

    run(direct, scenario)
    assert watch.threads
    assert answered["Encrypt"] in {200, 400}
    assert {*answered.values()} <= {200, 400}
    assert set(answered) <= set(TABLE)
