"""What takes long does not run on the event loop, also where that shows only when the key is known."""

import threading
from typing import Any

import pytest

from crowds import as_bytes
from direct_client import DirectClient
from forms import nobodys_login
from loopback_server import LoopbackServer, run
from strongroom.crypto.software.elliptic import EllipticBackingKey
from strongroom.operations.kms import managed_keys
from strongroom.server import lane_limits

MESSAGE = "bWVzc2FnZQ=="


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What ran → the threads it ran on, in order."""
    seen: dict[str, list[str]] = {}

    def watch(owner: Any, name: str) -> None:
        whole = getattr(owner, name)

        def watched(*parts: Any) -> Any:
            seen.setdefault(name, []).append(threading.current_thread().name)
            return whole(*parts)

        monkeypatch.setattr(owner, name, watched)

    watch(EllipticBackingKey, "sign")
    watch(EllipticBackingKey, "verify")
    watch(managed_keys, "_make")
    return seen


def signing_key(direct: DirectClient, spec: str) -> dict[str, Any]:
    key = direct.local.call("CreateKey", KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    return {"KeyId": key["KeyId"], "Message": MESSAGE, "SigningAlgorithm": "ECDSA_SHA_256"}


@pytest.mark.parametrize(("spec", "place"), [("ECC_NIST_P256", "MainThread"), ("ECC_SECG_P256K1", "SIGNING_0")])
def test_a_signature_under_a_slow_curve_is_made_and_verified_on_a_thread(
    direct: DirectClient, places: dict[str, list[str]], spec: str, place: str
) -> None:
    body = signing_key(direct, spec)
    signature = direct.kms(direct.profile(), "Sign", **body).json["Signature"]
    wrong = signature[:-8] + "AAAAAAA="
    places.clear()

    async def scenario(loopback: LoopbackServer) -> None:
        assert await loopback.call("Sign", **body) == 200
        assert await loopback.call("Verify", **body, Signature=signature) == 200
        assert await loopback.call("Verify", **body, Signature=wrong) == 400
        assert set(loopback.front.limits.in_work.values()) == {0}

    run(direct, scenario)
    assert places == {"sign": [place], "verify": [place] * 2}
    assert [each["eventName"] for each in direct.local.records()[-3:]] == ["Sign", "Verify", "Verify"]


def test_a_call_whose_lane_turns_out_to_be_full_is_refused_and_recorded(
    direct: DirectClient, places: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = signing_key(direct, "ECC_SECG_P256K1")
    monkeypatch.setattr(lane_limits, "_MAX_SIGNED", dict.fromkeys(lane_limits._MAX_SIGNED, 0))

    async def scenario(loopback: LoopbackServer) -> None:
        assert await loopback.call("Sign", **body) == 400

    run(direct, scenario)
    assert not places
    assert direct.local.records()[-1]["errorCode"] == "ThrottlingException"


def test_an_aws_managed_key_is_made_on_a_thread_and_used_on_the_loop(
    direct: DirectClient, places: dict[str, list[str]]
) -> None:
    direct.local.deployment.registrar.create_service("backup.amazonaws.com")

    async def scenario(loopback: LoopbackServer) -> None:
        for _ in range(2):
            assert await loopback.call("DescribeKey", KeyId="alias/aws/backup") == 200

    run(direct, scenario)
    assert places == {"_make": ["WAITING_0"]}
    records = [each for each in direct.local.records() if each["eventName"] == "DescribeKey"]
    assert [each.get("errorCode") for each in records] == [None, None]


def test_refused_calls_that_nobody_signed_leave_only_so_many_records(direct: DirectClient) -> None:
    request = as_bytes(nobodys_login(), "Host: strongroom")
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
