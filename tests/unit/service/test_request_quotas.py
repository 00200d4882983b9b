"""Request quotas: the operations that share one, the account that is charged, and how it refills."""

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_deployment import LocalDeployment, Refused
from strongroom.clock import ManualClock
from strongroom.errors import ThrottlingException
from strongroom.operations.kms.aliases import ListAliasesRequest
from strongroom.operations.kms.table import TABLE
from strongroom.service.request_quotas import FAMILY, KINDS, RequestQuotas
from strongroom.service.shared_buckets import SharedBuckets
from strongroom.settings import RequestQuota, SettingsError
from strongroom.settings_sources import load

DATA = base64.b64encode(b"data").decode()
SAYS = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."


@pytest.fixture
def local(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    quotas = tuple(RequestQuota(kind, rate, *account) for kind, rate, *account in request.param)
    local = LocalDeployment(tmp_path / "data", clock, request_quotas=quotas)
    yield local
    local.deployment.close()


def spent(local: LocalDeployment, operation: str, **request: Any) -> bool:
    """Make a call; tell whether it was refused because no more are allowed."""
    try:
        local.call(operation, **request)
    except Refused as refused:
        if (refused.status, refused.code, refused.message) == (400, "ThrottlingException", SAYS):
            return True
        raise
    return False


def make(local: LocalDeployment, **request: Any) -> str:
    key_id: str = local.call("CreateKey", **request)["KeyMetadata"]["KeyId"]
    return key_id


@pytest.mark.parametrize("local", [[("symmetric", 3), ("rsa", 1)]], indirect=True)
def test_cryptography_shares_a_quota_by_the_family_of_its_keys(local: LocalDeployment) -> None:
    key = make(local)
    mac = make(local, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    curve = make(local, KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    rsa = make(local, KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    assert not spent(local, "Encrypt", KeyId=key, Plaintext=DATA)
    assert not spent(local, "GenerateMac", KeyId=mac, Message=DATA, MacAlgorithm="HMAC_SHA_256")
    assert not spent(local, "GenerateRandom", NumberOfBytes=1)
    assert spent(local, "GenerateDataKey", KeyId=key, KeySpec="AES_256")
    assert spent(local, "GenerateRandom", NumberOfBytes=1)
    for _ in range(5):
        assert not spent(local, "Sign", KeyId=curve, Message=DATA, SigningAlgorithm="ECDSA_SHA_256")
        assert not spent(local, "GenerateDataKeyPair", KeyId=key, KeyPairSpec="ECC_NIST_P256")
        assert not spent(local, "DescribeKey", KeyId=key)
    wrapped = {"KeyId": rsa, "Plaintext": DATA, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    assert not spent(local, "Encrypt", **wrapped)
    assert spent(local, "Encrypt", **wrapped)


@pytest.mark.parametrize("local", [[("DescribeKey", 2), ("data-key-pair-ECC_NIST_P256", 1)]], indirect=True)
def test_a_quota_fills_with_time_up_to_one_second_and_each_region_has_its_own(local: LocalDeployment) -> None:
    key, away = make(local), local.call("CreateKey", region="eu-west-1")["KeyMetadata"]["KeyId"]
    outcomes = [spent(local, "DescribeKey", KeyId=key) for _ in range(3)]
    assert outcomes == [False, False, True]
    assert not spent(local, "DescribeKey", region="eu-west-1", KeyId=away)
    local.clock.advance(0.5)
    assert [spent(local, "DescribeKey", KeyId=key) for _ in range(2)] == [False, True]
    local.clock.advance(3600)
    assert [spent(local, "DescribeKey", KeyId=key) for _ in range(3)] == outcomes
    pair = {"KeyId": key, "KeyPairSpec": "ECC_NIST_P256"}
    assert not spent(local, "GenerateDataKeyPair", **pair)
    assert spent(local, "GenerateDataKeyPairWithoutPlaintext", **pair)


@pytest.mark.parametrize("local", [[("symmetric", 1)]], indirect=True)
def test_refused_calls_and_dry_runs_count(local: LocalDeployment) -> None:
    key = make(local)
    with pytest.raises(Refused, match="DryRunOperationException"):
        local.call("Encrypt", KeyId=key, Plaintext=DATA, DryRun=True)
    assert spent(local, "Encrypt", KeyId=key, Plaintext=DATA)
    local.clock.advance(1)
    local.call("DisableKey", KeyId=key)
    with pytest.raises(Refused, match="DisabledException"):
        local.call("Encrypt", KeyId=key, Plaintext=DATA)
    assert spent(local, "Encrypt", KeyId=key, Plaintext=DATA)


@pytest.mark.parametrize("local", [[("CreateKey", 3)]], indirect=True)
def test_a_replica_costs_what_two_keys_cost_in_its_region(local: LocalDeployment) -> None:
    primary = make(local, MultiRegion=True)
    assert not spent(local, "CreateKey", region="eu-west-1")
    assert not spent(local, "ReplicateKey", KeyId=primary, ReplicaRegion="eu-west-1")
    assert spent(local, "CreateKey", region="eu-west-1")
    assert not spent(local, "CreateKey")


@pytest.mark.parametrize(
    "local", [[("ListKeys", 1), ("ListKeys", 2, "000000000000"), ("ListAliases", 1, "111122223333")]], indirect=True
)
def test_an_account_can_have_a_quota_of_its_own(local: LocalDeployment) -> None:
    assert [spent(local, "ListKeys") for _ in range(3)] == [False, False, True]
    assert not any(spent(local, "ListAliases") for _ in range(5))


@pytest.mark.parametrize("local", [[]], indirect=True)
def test_without_quotas_nothing_is_refused(local: LocalDeployment) -> None:
    assert not any(spent(local, "ListKeys") for _ in range(50))


def test_every_operation_of_kms_is_of_a_kind_and_no_other() -> None:
    kms = {row.name for row in TABLE.values() if row.service == "kms"}
    assert {kind for kind in KINDS if kind in kms} == kms - {row.name for row in TABLE.values() if row.uses} - {
        "GenerateRandom"
    }
    assert set(FAMILY.values()) == {"symmetric", "rsa", "ecc", "ml-dsa", "ml-kem"}
    assert KINDS.isdisjoint({"ListUsers", "AssumeRole"})


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("requests = 'Encrypt'", "`Encrypt` in request-quotas is no kind of request; those are symmetric, rsa, ecc, "),
        ("requests = 'rsa'", "request-quotas has `rsa` for all accounts twice"),
        ("requests = 'rsa'\naccount = '111122223333'", "request-quotas has `rsa` for 111122223333 twice"),
    ],
)
def test_quotas_that_mean_nothing(document: str, says: str) -> None:
    twice = "\n".join(2 * [f"[[request-quotas]]\n{document}\nper-second = 1"])
    settings = load(twice, {}, {})
    with pytest.raises(SettingsError, match=says):
        RequestQuotas(settings.request_quotas, settings.regions)


def test_quotas_hold_for_all_workers_together(tmp_path: Path) -> None:
    operation, now = TABLE["ListKeys"], 1_790_000_000.0
    settings = (RequestQuota("ListKeys", 8),)
    workers = [RequestQuotas(settings, ("us-east-1",), SharedBuckets(tmp_path / "request-quotas")) for _ in range(3)]

    def allowed(at: float, by: list[RequestQuotas]) -> int:
        """Count how many requests are allowed in one moment."""
        count = 0
        for quotas in by * 10:
            with contextlib.suppress(ThrottlingException):
                quotas.spend(operation, operation.request(), (), "111122223333", "us-east-1", at)
                count += 1
        return count

    assert allowed(now, workers) == 8
    # All of it over one connection, too; and so a worker that has just started.
    assert allowed(now + 1, workers[:1]) == 8
    new = RequestQuotas(settings, ("us-east-1",), SharedBuckets(tmp_path / "request-quotas"))
    assert allowed(now + 1, [new, *workers]) == 0
    assert allowed(now + 1.25, [new, *workers]) == 2


def test_a_node_uses_its_share_of_a_quota() -> None:
    quotas, operation = RequestQuotas([RequestQuota("CreateAlias", 10)], ["us-east-1"]), TABLE["CreateAlias"]

    def let_through(now: float) -> int:
        count = 0
        with contextlib.suppress(ThrottlingException):
            while True:
                quotas.spend(operation, ListAliasesRequest(), [], "111122223333", "us-east-1", now)
                count += 1
        return count

    assert let_through(0) == 10
    quotas.share = 0.5
    assert [let_through(now) for now in (1, 2)] == [5, 5]
    quotas.share = 1.0
    # What it gained until then was half of it.
    assert [let_through(now) for now in (3, 4)] == [5, 10]
