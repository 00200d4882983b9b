"""Calls that use a slow key, in a hardware token or behind a network, hold up no other call."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from botocore.credentials import Credentials

from direct_client import DirectClient
from loopback_server import LoopbackServer, run, until
from policies import allow, document
from raw_connections import request_bytes
from slow_key import SlowKey, active_key, make_slow
from strongroom.operations.kms.table import TABLE
from strongroom.operations.lanes import Lane
from strongroom.server import lane_limits
from strongroom.server.lane_limits import Caller

DATA = "ZGF0YQ=="
PLACE = (Lane.KEY_BACKEND, Caller.SIGNED)


def new_key(direct: DirectClient, **request: Any) -> str:
    key_id: str = direct.local.call("CreateKey", **request)["KeyMetadata"]["KeyId"]
    return key_id


def releasing(slow: SlowKey, scenario: Callable[[LoopbackServer], Awaitable[None]]) -> Any:
    """Have a scenario that fails not wait for the slow key as well."""

    async def released(loopback: LoopbackServer) -> None:
        try:
            await scenario(loopback)
        finally:
            slow.released.set()

    return released


def test_a_storm_on_a_slow_key_holds_up_no_other_call(direct: DirectClient) -> None:
    key, software_key = new_key(direct), new_key(direct)
    rsa_key = new_key(direct, KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    slow = make_slow(direct.local, key)
    before = len(direct.local.records())

    async def scenario(loopback: LoopbackServer) -> None:
        storm = [asyncio.create_task(loopback.call("Encrypt", KeyId=key, Plaintext=DATA)) for _ in range(60)]
        await until(lambda: loopback.front.limits.in_work[PLACE] == len(storm))
        for _ in range(20):
            assert await loopback.call("Encrypt", KeyId=software_key, Plaintext=DATA) == 200
        rsa = {"KeyId": rsa_key, "Message": DATA, "SigningAlgorithm": "RSASSA_PSS_SHA_256"}
        assert await loopback.call("Sign", **rsa) == 200
        assert await loopback.call("GetPublicKey", KeyId=rsa_key) == 200
        assert await loopback.call("ListKeys") == 200
        # What does not touch its material does not wait for it either.
        assert await loopback.call("DescribeKey", KeyId=key) == 200
        assert await loopback.call("UpdateKeyDescription", KeyId=software_key, Description="") == 200
        assert not any(call.done() for call in storm)
        slow.released.set()
        assert await asyncio.gather(*storm) == [200] * len(storm)
        assert set(loopback.front.limits.in_work.values()) == {0}

    run(direct, releasing(slow, scenario))
    assert set(slow.threads) == {"KEY_BACKEND_0"}
    records = [each for each in direct.local.records()[before:] if each["eventName"] == "Encrypt"]
    assert len({each["requestID"] for each in records}) == len(records) == 80
    assert not any("errorCode" in each for each in records)


def test_the_lane_is_bounded_and_what_it_refuses_is_recorded(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_key(direct)
    slow = make_slow(direct.local, key)
    before = len(direct.local.records())
    monkeypatch.setattr(lane_limits, "_MAX_SIGNED", {**lane_limits._MAX_SIGNED, Lane.KEY_BACKEND: 3})

    async def scenario(loopback: LoopbackServer) -> None:
        taken = [asyncio.create_task(loopback.call("Encrypt", KeyId=key, Plaintext=DATA)) for _ in range(3)]
        await until(lambda: loopback.front.limits.in_work[PLACE] == 3)
        assert [await loopback.call("Encrypt", KeyId=key, Plaintext=DATA) for _ in range(2)] == [400, 400]
        slow.released.set()
        assert await asyncio.gather(*taken) == [200] * 3

    run(direct, releasing(slow, scenario))
    records = direct.local.records()[before:]
    assert [each.get("errorCode") for each in records] == ["ThrottlingException"] * 2 + [None] * 3
    # It was authorized by then, so its record names the key.
    assert all(each["resources"][0]["ARN"].endswith(key) for each in records)


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (lambda direct, key: direct.local.call("DisableKey", KeyId=key), "DisabledException"),
        (lambda direct, _: revoke(direct), "AccessDenied"),
    ],
    ids=["key disabled", "access revoked"],
)
def test_a_call_that_waited_for_a_slow_key_is_authorized_again(
    direct: DirectClient, change: Callable[[DirectClient, str], object], outcome: str
) -> None:
    user = a_user(direct)
    key = new_key(direct)
    slow = make_slow(direct.local, key)
    body = {"KeyId": f"arn:aws:kms:us-east-1:000000000000:key/{key}", "Plaintext": DATA}
    request = request_bytes(direct.kms_request(user, "Encrypt", {}, body))
    before = len(direct.local.records())

    async def scenario(loopback: LoopbackServer) -> None:
        calls = [asyncio.create_task(loopback.send(request)) for _ in range(2)]
        # One thread: the first call uses the key, the second waits for it.
        await until(lambda: loopback.front.limits.in_work[PLACE] == 2 and len(slow.threads) == 1)
        change(direct, key)
        slow.released.set()
        assert sorted(await asyncio.gather(*calls)) == [200, 400]

    run(direct, releasing(slow, scenario))
    records = [each for each in direct.local.records()[before:] if each["eventName"] == "Encrypt"]
    assert [each.get("errorCode") for each in records] == [None, outcome]


def a_user(direct: DirectClient) -> Credentials:
    """Return the access key of a new user who may do everything, held by the snapshot."""
    root, every = direct.profile(), document(allow(do="*"))
    direct.query(root, "iam", "CreateUser", UserName="alice")
    direct.query(root, "iam", "PutUserPolicy", UserName="alice", PolicyName="own", PolicyDocument=every)
    made = direct.query(root, "iam", "CreateAccessKey", UserName="alice")
    user = Credentials(made.field("AccessKeyId"), made.field("SecretAccessKey"))
    assert direct.kms(user, "ListKeys").status == 200
    return user


def revoke(direct: DirectClient) -> None:
    """Take away what the user may do."""
    direct.query(direct.profile(), "iam", "DeleteUserPolicy", UserName="alice", PolicyName="own")


def test_a_call_for_two_keys_waits_for_the_slow_one(direct: DirectClient) -> None:
    key, software_key = new_key(direct), new_key(direct)
    blob = direct.local.call("Encrypt", KeyId=software_key, Plaintext=DATA)["CiphertextBlob"]
    slow = make_slow(direct.local, key)
    slow.released.set()

    async def scenario(loopback: LoopbackServer) -> None:
        assert await loopback.call("ReEncrypt", CiphertextBlob=blob, DestinationKeyId=key) == 200

    run(direct, scenario)
    assert slow.threads == ["KEY_BACKEND_0"]


@pytest.mark.parametrize(
    ("operation", "request_", "status"),
    [
        ("GetPublicKey", {}, 400),
        ("RotateKeyOnDemand", {}, 200),
        ("ReplicateKey", {"ReplicaRegion": "eu-west-1"}, 200),
        ("GenerateDataKeyPair", {"KeyPairSpec": "ECC_NIST_P256"}, 200),
    ],
)
def test_calls_that_another_thread_began_go_on_there_too(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch, operation: str, request_: dict[str, str], status: int
) -> None:
    key = new_key(direct, MultiRegion=True)
    active = active_key(direct.local, key)
    active.blocks = active.public_key_blocks = True
    before = len(direct.local.records())
    places: list[tuple[str, bool]] = []
    whole = TABLE[operation].run

    def watched(context: Any, *parts: Any) -> Any:
        places.append((threading.current_thread().name, context.may_wait))
        return whole(context, *parts)

    monkeypatch.setattr(TABLE[operation], "run", watched)

    async def scenario(loopback: LoopbackServer) -> None:
        assert await loopback.call(operation, KeyId=key, **request_) == status

    run(direct, scenario)
    assert places == [("KEY_BACKEND_0", True)]
    names = [each["eventName"] for each in direct.local.records()[before:] if each["eventType"] == "AwsApiCall"]
    assert names.count(operation) == 1
