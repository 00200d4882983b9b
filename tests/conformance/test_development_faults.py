"""Faults that are injected into a development server: refusals with errors of AWS, and delays."""

import base64
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from audits import audit_records
from child_processes import killed
from server_processes import wait_until
from strongroom.clock import DAY
from strongroom.testing import Account, Faults, Server, server
from strongroom.testing.control import Control


@pytest.fixture(scope="module")
def dev() -> Iterator[Server]:
    with server() as running:
        yield running
        log = running.log()
    assert "Traceback" not in log
    assert "ERROR" not in log
    assert "WARNING" not in log


@pytest.fixture
def account(dev: Server) -> Account:
    return dev.create_account()


@pytest.fixture
def kms(account: Account) -> Any:
    return account.client()


@pytest.fixture
def faults(dev: Server, account: Account) -> Iterator[Faults]:
    found = dev.faults_of(account)
    yield found
    found.clear()


def refused(call: Callable[[], object]) -> str:
    """Return the code of the error that a call ends in."""
    with pytest.raises(ClientError) as refusal:
        call()
    return str(refusal.value.response["Error"]["Code"])


def retried(call: Callable[[], dict[str, Any]]) -> int:
    """Return how often the SDK tried a call again."""
    return int(call()["ResponseMetadata"]["RetryAttempts"])


def test_the_sdk_tries_a_throttled_call_again(kms: Any, faults: Faults) -> None:
    faults.throttle("ListKeys", times=2)
    assert retried(kms.list_keys) == 2
    assert retried(kms.list_keys) == 0


def test_a_call_fails_with_the_error_that_was_asked_for(kms: Any, faults: Faults) -> None:
    faults.fail("ListKeys", "DependencyTimeoutException", "no answer", times=5)
    with pytest.raises(ClientError, match=r"DependencyTimeoutException.*no answer"):
        kms.list_keys()


def test_faults_of_an_account_do_not_happen_to_others(dev: Server, kms: Any, faults: Faults) -> None:
    faults.throttle("ListKeys")
    assert retried(dev.create_account().client().list_keys) == 0
    faults.clear()
    assert retried(kms.list_keys) == 0


def test_a_delayed_call_does_not_hold_up_others_and_clearing_ends_it(dev: Server, account: Account) -> None:
    dev.faults_of(account).delay("ListKeys", seconds=300, times=1)
    client = f"import boto3; print(len(boto3.client('kms', endpoint_url={dev.url!r}).list_keys()['Keys']))"
    environment = {**os.environ, **account.environment()}
    with (
        subprocess.Popen([sys.executable, "-c", client], env=environment, stdout=subprocess.PIPE) as waiting,
        killed(waiting),
    ):
        wait_until(lambda: injected(dev, account) == [])
        account.client().list_aliases()
        assert waiting.poll() is None
        dev.faults_of(account).clear()
        assert waiting.communicate(timeout=60)[0] == b"0\n"


def test_calls_that_are_delayed_hold_up_nothing_however_many_they_are(
    dev: Server, account: Account, faults: Faults
) -> None:
    faults.delay("ListKeys", seconds=300)
    config = Config(max_pool_connections=60, read_timeout=120, retries={"total_max_attempts": 1})
    kms = account.client(config=config)
    with ThreadPoolExecutor(60) as pool:
        calls = [pool.submit(kms.list_keys) for _ in range(60)]
        try:
            refusals = list(itertools.islice(as_completed(calls, timeout=60), 12))
            assert {refused(each.result) for each in refusals} == {"ThrottlingException"}
            assert len(injected(dev, account)) == 1
            account.client("iam").create_user(UserName="ada")
        finally:
            faults.clear()
        assert [each.result()["Keys"] for each in calls if each not in refusals] == 48 * [[]]


def injected(dev: Server, account: Account) -> list[object]:
    """Return the faults that are in force for an account."""
    found = Control(dev.url).get("/faults")
    return [each for each in found if each["fault"]["account"] == account.account]


def test_an_injected_error_is_recorded(dev: Server, account: Account, faults: Faults) -> None:
    faults.fail("ListAliases", "KMSInternalException", times=10)
    assert refused(account.client().list_aliases) == "KMSInternalException"
    records = [each for each in audit_records(dev.data) if each.get("recipientAccountId") == account.account]
    assert {(each["eventName"], each["errorCode"]) for each in records} == {("ListAliases", "KMSInternalException")}


def test_the_record_of_an_injected_error_has_no_key_material(dev: Server, account: Account, faults: Faults) -> None:
    secret = base64.b64encode(bytes(range(32))).decode()
    faults.fail("CreateKey", "KMSInternalException", times=10)
    tags = [{"TagKey": "_custom_key_material_", "TagValue": secret}, {"TagKey": "color", "TagValue": "blue"}]
    assert refused(lambda: account.client().create_key(Tags=tags)) == "KMSInternalException"
    (record, *_) = [each for each in audit_records(dev.data) if each.get("recipientAccountId") == account.account]
    assert "blue" in str(record["requestParameters"])
    assert secret not in str(record)


def test_a_delayed_call_is_made_at_the_time_at_which_it_begins(
    dev: Server, account: Account, kms: Any, faults: Faults
) -> None:
    faults.delay("CreateKey", seconds=300, times=1)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(kms.create_key)
        wait_until(lambda: injected(dev, account) == [])
        before = dev.clock.now()
        dev.clock.advance(days=1)
        faults.clear()
        created = call.result()["KeyMetadata"]["CreationDate"]
    dev.clock.reset()
    assert (created - before).total_seconds() >= DAY


def test_a_call_without_a_signature_belongs_to_the_account_of_its_role(dev: Server) -> None:
    one, other = dev.create_account(), dev.create_account()
    dev.faults_of(one).fail("AssumeRoleWithWebIdentity", "IDPCommunicationError")

    def assume(account: Account) -> str:
        sts = account.client("sts", config=Config(retries={"total_max_attempts": 1}))
        arn = f"arn:aws:iam::{account.account}:role/reader"
        token = "a token of no provider"
        return refused(
            lambda: sts.assume_role_with_web_identity(RoleArn=arn, RoleSessionName="ada", WebIdentityToken=token)
        )

    assert assume(one) == "IDPCommunicationError"
    assert assume(other) == "InvalidIdentityToken"
    dev.faults_of(one).clear()
    assert assume(one) == "InvalidIdentityToken"


def test_it_stops_although_calls_are_delayed() -> None:
    with server() as dev:
        dev.faults.delay("ListKeys", seconds=300)
        kms = dev.account.client(config=Config(read_timeout=0.2, retries={"total_max_attempts": 1}))
        with pytest.raises(ReadTimeoutError):
            kms.list_keys()
    assert not dev.data.exists()
