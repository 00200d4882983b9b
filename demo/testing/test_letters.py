"""Tests of ``letters`` with the fixtures of strongroom: each test has an account of its own, on one server."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from letters import ALIAS, GoneError, Letters, NotAllowedError, TryLaterError

from strongroom.testing import Account, Clock, Faults


@pytest.fixture
def letters(strongroom_environment: Account) -> Letters:
    """Return the application, with its key, as the root user of the test's account."""
    found = Letters()
    found.set_up()
    return found


@pytest.fixture
def reader(letters: Letters, strongroom_client: Callable[..., Any]) -> Any:
    """Return a KMS client of a user who may open letters, and nothing else."""
    iam = strongroom_client("iam")
    iam.create_user(UserName="ada")
    allowed = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="ada", PolicyName="open", PolicyDocument=document)
    key = iam.create_access_key(UserName="ada")["AccessKey"]
    return strongroom_client("kms", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])


def test_a_letter_can_be_opened(letters: Letters) -> None:
    assert letters.open(letters.seal("Dear Ada", "ada"), "ada") == "Dear Ada"


def test_only_its_reader_can_open_it(letters: Letters) -> None:
    with pytest.raises(NotAllowedError):
        letters.open(letters.seal("Dear Ada", "ada"), "charles")


def test_an_altered_letter_is_refused(letters: Letters) -> None:
    letter = bytearray(letters.seal("Dear Ada", "ada"))
    letter[-1] ^= 1
    with pytest.raises(NotAllowedError):
        letters.open(bytes(letter), "ada")


def test_nothing_of_another_test_is_there(kms: Any) -> None:
    assert kms.list_keys()["Keys"] == []
    assert kms.list_aliases()["Aliases"] == []


def test_letters_from_before_a_rotation_can_be_opened(letters: Letters, kms: Any, strongroom_clock: Clock) -> None:
    letter = letters.seal("Dear Ada", "ada")
    strongroom_clock.advance(days=365)
    (rotation,) = kms.list_key_rotations(KeyId=key_of(kms))["Rotations"]
    assert rotation["RotationType"] == "AUTOMATIC"
    assert letters.open(letter, "ada") == "Dear Ada"


def test_the_key_rotates_each_year(letters: Letters, kms: Any, strongroom_clock: Clock) -> None:
    strongroom_clock.advance(days=3 * 365)
    assert len(kms.list_key_rotations(KeyId=key_of(kms))["Rotations"]) == 3


def test_letters_are_lost_seven_days_after_the_deletion_of_their_key(
    letters: Letters, kms: Any, strongroom_clock: Clock
) -> None:
    letter = letters.seal("Dear Ada", "ada")
    kms.schedule_key_deletion(KeyId=key_of(kms), PendingWindowInDays=7)
    strongroom_clock.advance(days=7)
    with pytest.raises(NotAllowedError, match="does not exist"):
        letters.open(letter, "ada")
    with pytest.raises(GoneError):
        letters.seal("Dear Ada", "ada")


def test_a_deletion_can_be_cancelled_in_time(letters: Letters, kms: Any, strongroom_clock: Clock) -> None:
    letter, key = letters.seal("Dear Ada", "ada"), key_of(kms)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    strongroom_clock.advance(days=6, hours=23)
    kms.cancel_key_deletion(KeyId=key)
    kms.enable_key(KeyId=key)
    strongroom_clock.advance(days=30)
    assert letters.open(letter, "ada") == "Dear Ada"


def test_a_user_whose_policy_allows_it_can_open_letters(letters: Letters, reader: Any) -> None:
    assert Letters(reader).open(letters.seal("Dear Ada", "ada"), "ada") == "Dear Ada"


def test_a_user_whose_policy_does_not_allow_it_cannot_seal_letters(reader: Any) -> None:
    with pytest.raises(NotAllowedError, match="not authorized to perform: kms:Encrypt"):
        Letters(reader).seal("Dear Charles", "charles")


def test_a_session_ends_after_an_hour(letters: Letters, strongroom_clock: Clock) -> None:
    letter = letters.seal("Dear Ada", "ada")
    session = boto3.client("sts").get_session_token(DurationSeconds=3600)["Credentials"]
    kms = boto3.client(
        "kms",
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
    assert Letters(kms).open(letter, "ada") == "Dear Ada"
    strongroom_clock.advance(hours=1)
    with pytest.raises(NotAllowedError, match="expired"):
        Letters(kms).open(letter, "ada")


def test_a_throttled_call_is_tried_again(letters: Letters, strongroom_faults: Faults) -> None:
    strongroom_faults.throttle("Encrypt", times=1)
    assert letters.open(letters.seal("Dear Ada", "ada"), "ada") == "Dear Ada"


def test_the_application_gives_up_while_calls_are_throttled(letters: Letters, strongroom_faults: Faults) -> None:
    strongroom_faults.throttle("Encrypt")
    with pytest.raises(TryLaterError, match="Rate exceeded"):
        Letters(attempts=2).seal("Dear Ada", "ada")


def test_the_application_does_not_wait_for_a_slow_service(letters: Letters, strongroom_faults: Faults) -> None:
    strongroom_faults.delay("Encrypt", seconds=60)
    impatient = Letters(patience=0.2, attempts=1)
    with pytest.raises(TryLaterError):
        impatient.seal("Dear Ada", "ada")


def key_of(kms: Any) -> str:
    """Return the id of the key of the letters."""
    key: str = kms.describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyId"]
    return key
