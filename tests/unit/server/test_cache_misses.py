"""A cache miss leaves the event loop: the whole request goes to a thread, and is answered and recorded once."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials

from cold_snapshot import ColdLookup
from direct_client import DirectClient
from local_deployment import LocalDeployment
from loopback_server import LoopbackServer, run
from raw_connections import request_bytes
from strongroom.clock import ManualClock
from strongroom.operations.kms.table import TABLE
from strongroom.operations.lanes import Lane
from strongroom.server import lane_limits
from strongroom.service import pipeline
from strongroom.service.request_quotas import RequestQuotas
from strongroom.settings import RequestQuota
from strongroom.snapshot.miss import MustWait
from strongroom.snapshot.principals import Principals
from strongroom.snapshot.snapshot import Snapshot

DATA = "ZGF0YQ=="
SERVICE = "backup.amazonaws.com"
ON_BEHALF_OF = {"X-Strongroom-On-Behalf-Of": "arn:aws:iam::000000000000:root"}

LOOKUPS = {
    "making the snapshot current": (Snapshot, "refresh"),
    "the access key": (Principals, "credential"),
    "the principal a service calls for": (Principals, "named"),
    "the key": (Snapshot, "key"),
    "the alias": (Snapshot, "alias"),
    "charging the quota": (RequestQuotas, "spend"),
    "deciding by grants": (pipeline, "authorize"),
    "running the operation": (TABLE["Encrypt"], "run"),
}
"""Where a call may find that something has to be read → what looks it up."""


@pytest.fixture
def direct(tmp_path: Path, clock: ManualClock) -> Iterator[DirectClient]:
    # One request a second: a call that was charged twice would find no quota left.
    local = LocalDeployment(tmp_path / "data", clock, request_quotas=(RequestQuota("symmetric", 1),))
    yield DirectClient(local)
    local.deployment.close()


def aliased_key(direct: DirectClient) -> str:
    """Return the alias of a new key."""
    key_id = direct.local.call("CreateKey")["KeyMetadata"]["KeyId"]
    direct.local.call("CreateAlias", AliasName="alias/one", TargetKeyId=key_id)
    return "alias/one"


@pytest.mark.parametrize("miss", LOOKUPS)
def test_a_miss_anywhere_takes_the_call_to_a_thread_once(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch, miss: str
) -> None:
    direct.local.deployment.registrar.create_service(SERVICE)
    alias = aliased_key(direct)
    # From here on everything is cached, except what the simulator says is not.
    assert direct.kms(direct.profile(SERVICE), "DescribeKey", KeyId=alias, more=ON_BEHALF_OF).status == 200
    body = {"KeyId": alias, "Plaintext": DATA}
    request = request_bytes(direct.kms_request(direct.profile(SERVICE), "Encrypt", ON_BEHALF_OF, body))
    before = len(direct.local.records())
    owner: Any
    owner, name = LOOKUPS[miss]
    cold = ColdLookup(monkeypatch, owner, name)

    async def scenario(loopback: LoopbackServer) -> None:
        assert await loopback.send(request) == 200
        # The quota is spent now, so it was charged once.
        assert await loopback.send(request) == 400
        assert set(loopback.front.limits.in_work.values()) == {0}

    run(direct, scenario)
    # The second call ends at the quota, before it comes to the later lookups.
    assert cold.misses in {1, 2}
    assert cold.threads == {"READING_0"}
    records = direct.local.records()[before:]
    assert [(each["eventName"], each.get("errorCode")) for each in records] == [
        ("Encrypt", None),
        ("Encrypt", "ThrottlingException"),
    ]
    assert all(each["userIdentity"]["invokedBy"] == SERVICE for each in records)


def test_the_real_snapshot_reads_an_access_key_on_a_thread_and_has_it_then(direct: DirectClient) -> None:
    snapshot = direct.local.deployment.backends.snapshot
    snapshot.principals.forget_everything()
    threads: list[str] = []
    whole = snapshot.principals._read_credential

    def reading(access_key_id: str) -> Any:
        threads.append(threading.current_thread().name)
        return whole(access_key_id)

    snapshot.principals._read_credential = reading  # type: ignore[method-assign]

    async def scenario(loopback: LoopbackServer) -> None:
        for _ in range(3):
            assert await loopback.call("GenerateRandom", NumberOfBytes=8) in {200, 400}

    run(direct, scenario)
    assert threads == ["READING_0"]


def test_a_session_is_read_on_a_thread_and_a_forged_token_needs_none(direct: DirectClient) -> None:
    made = direct.query(direct.profile(), "sts", "GetSessionToken")
    session = Credentials(*(made.field(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")))
    forged = Credentials(session.access_key, session.secret_key, "Zm9yZ2Vk")
    principals = direct.local.deployment.backends.snapshot.principals
    principals.forget_everything()
    misses = principals.misses
    requests = [request_bytes(direct.kms_request(keys, "ListAliases", {}, {})) for keys in (session, forged, session)]

    async def scenario(loopback: LoopbackServer) -> None:
        assert [await loopback.send(request) for request in requests] == [200, 400, 200]

    run(direct, scenario)
    assert principals.misses == misses + 1
    names = [each.get("errorCode") for each in direct.local.records()[-3:]]
    assert names == [None, "UnrecognizedClientException", None]
    assert principals.session(str(session.access_key), str(session.token), may_wait=False) is not None
    principals.forget_everything()
    with pytest.raises(MustWait):
        principals.session(str(session.access_key), str(session.token), may_wait=False)


def test_a_forged_signature_of_an_unread_access_key_is_refused_and_recorded_once(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = Credentials(direct.profile().access_key, "not the secret")
    request = request_bytes(direct.kms_request(forged, "ListKeys", {}, {}))
    before = len(direct.local.records())
    cold = ColdLookup(monkeypatch, Principals, "credential")

    async def scenario(loopback: LoopbackServer) -> None:
        assert await loopback.send(request) == 400

    run(direct, scenario)
    assert (cold.misses, cold.threads) == (1, {"READING_0"})
    assert [each["errorCode"] for each in direct.local.records()[before:]] == ["InvalidSignatureException"]


@pytest.mark.parametrize(
    ("operation", "body", "place"),
    [
        ("CreateKey", {}, "WRITING_0"),
        ("GetParametersForImport", {"WrappingKeySpec": "RSA_2048"}, "GENERATING_0"),
        ("Sign", {"SigningAlgorithm": "RSASSA_PSS_SHA_256", "Message": DATA}, "SIGNING_0"),
        ("GetPublicKey", {}, "COMPUTING_0"),
    ],
)
def test_a_request_that_was_admitted_on_a_thread_still_runs_in_its_own_lane(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch, operation: str, body: dict[str, str], place: str
) -> None:
    if operation == "GetParametersForImport":
        key_id = direct.local.call("CreateKey", Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
        body = {**body, "KeyId": key_id, "WrappingAlgorithm": "RSAES_OAEP_SHA_256"}
    elif operation != "CreateKey":
        key_id = direct.local.call("CreateKey", KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        body = {**body, "KeyId": key_id}
    places: list[str] = []
    whole = TABLE[operation].run

    def watched(*parts: Any) -> Any:
        places.append(threading.current_thread().name)
        return whole(*parts)

    monkeypatch.setattr(TABLE[operation], "run", watched)
    ColdLookup(monkeypatch, Principals, "credential")

    async def scenario(loopback: LoopbackServer) -> None:
        assert await loopback.call(operation, **body) == 200
        assert set(loopback.front.limits.in_work.values()) == {0}

    run(direct, scenario)
    assert places == [place]
    assert [each["eventName"] for each in direct.local.records()].count(operation) == 1


def test_requests_whose_access_key_is_not_read_yet_have_a_bound_of_their_own(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert direct.kms(direct.profile(), "ListKeys").status == 200
    before = len(direct.local.records())
    monkeypatch.setattr(lane_limits, "_MAX_UNVERIFIED", 0)

    async def scenario(loopback: LoopbackServer) -> None:
        with monkeypatch.context() as cold:
            ColdLookup(cold, Principals, "credential")
            assert await loopback.call("ListKeys") == 400
        # Calls that are verified have their places in the same lane.
        assert await loopback.call("ListKeys") == 200

    run(direct, scenario)
    # The signature of the first had not been verified, so it left no record.
    assert [each.get("errorCode") for each in direct.local.records()[before:]] == [None]


def test_a_suspended_call_that_finds_its_lane_full_is_refused_and_recorded(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias = aliased_key(direct)
    before = len(direct.local.records())
    monkeypatch.setattr(lane_limits, "_MAX_SIGNED", {**lane_limits._MAX_SIGNED, Lane.READING: 0})
    ColdLookup(monkeypatch, Snapshot, "key")

    async def scenario(loopback: LoopbackServer) -> None:
        assert await loopback.call("Encrypt", KeyId=alias, Plaintext=DATA) == 400

    run(direct, scenario)
    assert [each["errorCode"] for each in direct.local.records()[before:]] == ["ThrottlingException"]


def test_a_call_that_has_to_wait_even_where_it_may_ends_in_an_error(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Or it would be retried without a limit."""
    alias = aliased_key(direct)
    before = len(direct.local.records())

    def never(*_: Any) -> Any:
        raise MustWait

    monkeypatch.setattr(TABLE["Encrypt"], "run", never)

    async def scenario(loopback: LoopbackServer) -> None:
        assert await loopback.call("Encrypt", KeyId=alias, Plaintext=DATA) == 500

    run(direct, scenario)
    assert "Encrypt had to wait where it may" in caplog.messages
    assert [each["errorCode"] for each in direct.local.records()[before:]] == ["KMSInternalException"]
