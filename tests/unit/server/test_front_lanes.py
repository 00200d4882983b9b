"""Slow calls run on threads, not on the event loop, even if only the key shows that they are slow."""

import asyncio
import threading
from typing import Any

import pytest

from direct_client import DirectClient
from loopback_server import LoopbackServer, run, until
from query_requests import unauthenticated_login
from raw_connections import request_bytes
from strongroom.crypto.software.elliptic import EllipticBackingKey
from strongroom.operations.kms import managed_keys
from strongroom.operations.lanes import Lane
from strongroom.server import lane_limits
from strongroom.server.lane_limits import Caller
from strongroom.store.sqlite.write_lock import WriteLock

MESSAGE = "bWVzc2FnZQ=="


@pytest.fixture
def threads_used(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Function → names of the threads it ran on, in order of the calls."""
    seen: dict[str, list[str]] = {}

    def watch(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def watched(*parts: Any) -> Any:
            seen.setdefault(name, []).append(threading.current_thread().name)
            return original(*parts)

        monkeypatch.setattr(owner, name, watched)

    watch(EllipticBackingKey, "sign")
    watch(EllipticBackingKey, "verify")
    watch(managed_keys, "_make")
    return seen


def signing_key(direct: DirectClient, spec: str) -> dict[str, Any]:
    key = direct.local.call("CreateKey", KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    return {"KeyId": key["KeyId"], "Message": MESSAGE, "SigningAlgorithm": "ECDSA_SHA_256"}


@pytest.mark.parametrize(("spec", "thread"), [("ECC_NIST_P256", "MainThread"), ("ECC_SECG_P256K1", "SIGNING_0")])
def test_signatures_of_a_slow_curve_are_made_and_verified_on_a_thread(
    direct: DirectClient, threads_used: dict[str, list[str]], spec: str, thread: str
) -> None:
    body = signing_key(direct, spec)
    signature = direct.kms(direct.profile(), "Sign", **body).json["Signature"]
    wrong = signature[:-8] + "AAAAAAA="
    threads_used.clear()

    async def scenario(loopback: LoopbackServer) -> None:
        assert await loopback.call("Sign", **body) == 200
        assert await loopback.call("Verify", **body, Signature=signature) == 200
        assert await loopback.call("Verify", **body, Signature=wrong) == 400
        assert set(loopback.front.limits.in_work.values()) == {0}

    run(direct, scenario)
    assert threads_used == {"sign": [thread], "verify": [thread] * 2}
    assert [each["eventName"] for each in direct.local.records()[-3:]] == ["Sign", "Verify", "Verify"]


def test_calls_that_wait_for_another_writer_delay_no_read(direct: DirectClient) -> None:
    key_id = direct.local.call("CreateKey")["KeyMetadata"]["KeyId"]
    deployment = direct.local.deployment
    deployment.backends.snapshot.principals.forget_everything()

    async def scenario(loopback: LoopbackServer) -> None:
        with WriteLock(deployment.folder.database.with_name("strongroom.db-writer"), 5).held():
            writes = [asyncio.create_task(loopback.call("CreateKey")) for _ in range(3)]
            in_work = loopback.front.limits.in_work
            await until(lambda: in_work[Lane.WRITING, Caller.SIGNED] == 3)
            # Neither the access key nor the KMS key is cached.
            deployment.backends.snapshot._forget_everything()
            assert await loopback.call("Encrypt", KeyId=key_id, Plaintext=MESSAGE) == 200
            assert await loopback.call("ListKeys") == 200
            assert not any(write.done() for write in writes)
        assert await asyncio.gather(*writes) == [200] * 3

    run(direct, scenario)


def test_a_call_moved_to_a_full_lane_is_refused_and_recorded(
    direct: DirectClient, threads_used: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = signing_key(direct, "ECC_SECG_P256K1")
    monkeypatch.setattr(lane_limits, "_MAX_SIGNED", dict.fromkeys(lane_limits._MAX_SIGNED, 0))

    async def scenario(loopback: LoopbackServer) -> None:
        assert await loopback.call("Sign", **body) == 400

    run(direct, scenario)
    assert not threads_used
    assert direct.local.records()[-1]["errorCode"] == "ThrottlingException"


def test_an_aws_managed_key_is_created_on_a_thread_and_used_on_the_event_loop(
    direct: DirectClient, threads_used: dict[str, list[str]]
) -> None:
    direct.local.deployment.registrar.create_service("backup.amazonaws.com")

    async def scenario(loopback: LoopbackServer) -> None:
        for _ in range(2):
            assert await loopback.call("DescribeKey", KeyId="alias/aws/backup") == 200

    run(direct, scenario)
    assert threads_used == {"_make": ["READING_0"]}
    records = [each for each in direct.local.records() if each["eventName"] == "DescribeKey"]
    assert [each.get("errorCode") for each in records] == [None, None]


def test_the_audit_records_of_refused_unauthenticated_calls_are_rate_limited(direct: DirectClient) -> None:
    request = request_bytes(unauthenticated_login(), "Host: strongroom")
    before = len(direct.local.records())

    async def scenario(loopback: LoopbackServer) -> None:
        for _ in range(2):
            assert await loopback.send(request) == 400
        while direct.local.deployment.service.unauthenticated.limit.take(direct.local.clock.now()):
            continue
        assert await loopback.send(request) == 400
        assert await loopback.call("ListKeys") == 200

    run(direct, scenario)
    names = [each["eventName"] for each in direct.local.records()[before:]]
    assert names == ["AssumeRoleWithWebIdentity"] * 2 + ["ListKeys"]
