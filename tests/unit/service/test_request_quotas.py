"""Request quotas: what shares one, whose it is, and how it fills again."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments import Bench, Refused
from strongroom.clock import ManualClock
from strongroom.operations.kms.table import TABLE
from strongroom.service.request_quotas import FAMILY, KINDS, RequestQuotas
from strongroom.settings import RequestQuota, SettingsError, load

DATA = base64.b64encode(b"data").decode()
SAYS = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Bench]:
    quotas = tuple(RequestQuota(kind, rate, *account) for kind, rate, *account in request.param)
    bench = Bench(tmp_path / "data", clock, request_quotas=quotas)
    yield bench
    bench.deployment.close()


def spent(bench: Bench, operation: str, **request: Any) -> bool:
    """Make a call; tell whether it was refused because no more are allowed."""
    try:
        bench.call(operation, **request)
    except Refused as refused:
        if (refused.status, refused.code, refused.message) == (400, "ThrottlingException", SAYS):
            return True
        raise
    return False


def make(bench: Bench, **request: Any) -> str:
    key_id: str = bench.call("CreateKey", **request)["KeyMetadata"]["KeyId"]
    return key_id


@pytest.mark.parametrize("bench", [[("symmetric", 3), ("rsa", 1)]], indirect=True)
def test_cryptography_shares_a_quota_by_the_family_of_its_keys(bench: Bench) -> None:
    key = make(bench)
    mac = make(bench, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    curve = make(bench, KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    rsa = make(bench, KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    assert not spent(bench, "Encrypt", KeyId=key, Plaintext=DATA)
    assert not spent(bench, "GenerateMac", KeyId=mac, Message=DATA, MacAlgorithm="HMAC_SHA_256")
    assert not spent(bench, "GenerateRandom", NumberOfBytes=1)
    assert spent(bench, "GenerateDataKey", KeyId=key, KeySpec="AES_256")
    assert spent(bench, "GenerateRandom", NumberOfBytes=1)
    for _ in range(5):
        assert not spent(bench, "Sign", KeyId=curve, Message=DATA, SigningAlgorithm="ECDSA_SHA_256")
        assert not spent(bench, "GenerateDataKeyPair", KeyId=key, KeyPairSpec="ECC_NIST_P256")
        assert not spent(bench, "DescribeKey", KeyId=key)
    wrapped = {"KeyId": rsa, "Plaintext": DATA, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    assert not spent(bench, "Encrypt", **wrapped)
    assert spent(bench, "Encrypt", **wrapped)


@pytest.mark.parametrize("bench", [[("DescribeKey", 2), ("data-key-pair-ECC_NIST_P256", 1)]], indirect=True)
def test_a_quota_fills_with_time_up_to_one_second_and_each_region_has_its_own(bench: Bench) -> None:
    key, away = make(bench), bench.call("CreateKey", region="eu-west-1")["KeyMetadata"]["KeyId"]
    outcomes = [spent(bench, "DescribeKey", KeyId=key) for _ in range(3)]
    assert outcomes == [False, False, True]
    assert not spent(bench, "DescribeKey", region="eu-west-1", KeyId=away)
    bench.clock.advance(0.5)
    assert [spent(bench, "DescribeKey", KeyId=key) for _ in range(2)] == [False, True]
    bench.clock.advance(3600)
    assert [spent(bench, "DescribeKey", KeyId=key) for _ in range(3)] == outcomes
    pair = {"KeyId": key, "KeyPairSpec": "ECC_NIST_P256"}
    assert not spent(bench, "GenerateDataKeyPair", **pair)
    assert spent(bench, "GenerateDataKeyPairWithoutPlaintext", **pair)


@pytest.mark.parametrize("bench", [[("symmetric", 1)]], indirect=True)
def test_refused_calls_and_dry_runs_count(bench: Bench) -> None:
    key = make(bench)
    with pytest.raises(Refused, match="DryRunOperationException"):
        bench.call("Encrypt", KeyId=key, Plaintext=DATA, DryRun=True)
    assert spent(bench, "Encrypt", KeyId=key, Plaintext=DATA)
    bench.clock.advance(1)
    bench.call("DisableKey", KeyId=key)
    with pytest.raises(Refused, match="DisabledException"):
        bench.call("Encrypt", KeyId=key, Plaintext=DATA)
    assert spent(bench, "Encrypt", KeyId=key, Plaintext=DATA)


@pytest.mark.parametrize("bench", [[("CreateKey", 3)]], indirect=True)
def test_a_replica_costs_what_two_keys_cost_in_its_region(bench: Bench) -> None:
    primary = make(bench, MultiRegion=True)
    assert not spent(bench, "CreateKey", region="eu-west-1")
    assert not spent(bench, "ReplicateKey", KeyId=primary, ReplicaRegion="eu-west-1")
    assert spent(bench, "CreateKey", region="eu-west-1")
    assert not spent(bench, "CreateKey")


@pytest.mark.parametrize(
    "bench", [[("ListKeys", 1), ("ListKeys", 2, "000000000000"), ("ListAliases", 1, "111122223333")]], indirect=True
)
def test_an_account_can_have_a_quota_of_its_own(bench: Bench) -> None:
    assert [spent(bench, "ListKeys") for _ in range(3)] == [False, False, True]
    assert not any(spent(bench, "ListAliases") for _ in range(5))


@pytest.mark.parametrize("bench", [[]], indirect=True)
def test_without_quotas_nothing_is_refused(bench: Bench) -> None:
    assert not any(spent(bench, "ListKeys") for _ in range(50))


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
        ("requests = 'Encrypt'", "`Encrypt` in request-quotas is no kind of request; those are CancelKeyDeletion, "),
        ("requests = 'rsa'", "request-quotas has `rsa` for all accounts twice"),
        ("requests = 'rsa'\naccount = '111122223333'", "request-quotas has `rsa` for 111122223333 twice"),
    ],
)
def test_quotas_that_mean_nothing(document: str, says: str) -> None:
    twice = "\n".join(2 * [f"[[request-quotas]]\n{document}\nper-second = 1"])
    settings = load(twice, {}, {})
    with pytest.raises(SettingsError, match=says):
        RequestQuotas(settings.request_quotas, settings.regions)
