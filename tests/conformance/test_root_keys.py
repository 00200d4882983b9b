"""``strongroom account list`` and ``root-key`` beside a running server: every locked-out operator has a way back.

Also: profiles of ``credentials`` that do not work any more are named, with the command that gives a new one.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from accounts import data_of, strongroom, succeed
from audits import command_records
from client_errors import error_code_of
from clients import client_of, client_with, credentials_of
from local_server import RunningServer, running_server
from policies import deny, document

FIRST = "000000000000"
SECOND = "121212121212"
SERVICE = "backup.amazonaws.com"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "data", tmp_path / "log") as running:
        yield running
        assert running.stop() == 0
        assert "The log is whole." in succeed(tmp_path / "data", "audit", "verify")


def works(server: RunningServer, keys: Credentials, account: str = FIRST) -> bool:
    """Tell whether a root access key works."""
    try:
        arn = client_with(server, "sts", keys).get_caller_identity()["Arn"]
    except ClientError as error:
        return error.response["Error"]["Code"] != "InvalidClientTokenId"
    return arn == f"arn:aws:iam::{account}:root"


def file_of(server: RunningServer) -> Path:
    return data_of(server) / "credentials"


def test_a_list_of_accounts_with_their_root_access_keys(server: RunningServer) -> None:
    succeed(data_of(server), "account", "create", SECOND)
    iam = client_with(server, "iam", credentials_of(server, SECOND))
    iam.create_account_alias(AccountAlias="payroll")
    made = iam.create_access_key()["AccessKey"]["AccessKeyId"]
    iam.update_access_key(AccessKeyId=made, Status="Inactive")
    first, first_key, second, second_key, other = succeed(data_of(server), "account", "list").splitlines()
    assert first.split("\t")[:2] == [FIRST, "-"]
    assert first.endswith("\tprofile default")
    assert first_key.split("\t")[1:3] == [credentials_of(server).access_key, "active"]
    assert second.split("\t")[:2] == [SECOND, "payroll"]
    assert second.endswith(f"\tprofile {SECOND}")
    assert second_key.split("\t")[1:3] == [credentials_of(server, SECOND).access_key, "active"]
    assert other.split("\t")[1:3] == [made, "inactive"]


def test_a_root_access_key_beside_one_that_works(server: RunningServer) -> None:
    before = credentials_of(server)
    told = succeed(data_of(server), "account", "root-key", FIRST)
    after = credentials_of(server)
    assert after.access_key != before.access_key
    assert f"Root access key {after.access_key} of account {FIRST} is profile default in" in told
    assert f"kept:\t{before.access_key}\tactive" in told
    assert works(server, before)
    assert works(server, after)
    # The secret of the one before is not lost.
    assert credentials_of(server, f"default-{before.access_key}").secret_key == before.secret_key
    refused = strongroom(data_of(server), "account", "root-key", FIRST)
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert before.access_key in line
    assert f"strongroom account root-key {FIRST} --replace" in line
    assert credentials_of(server).access_key == after.access_key


def test_root_access_keys_are_replaced(server: RunningServer) -> None:
    first = credentials_of(server)
    succeed(data_of(server), "account", "root-key", FIRST)
    second = credentials_of(server)
    told = succeed(data_of(server), "account", "root-key", FIRST, "--replace")
    assert f"deleted:\t{first.access_key}\tactive" in told
    assert f"deleted:\t{second.access_key}\tactive" in told
    assert works(server, credentials_of(server))
    assert not works(server, first)
    assert not works(server, second)
    text = file_of(server).read_text()
    assert second.secret_key not in text
    record = command_records(data_of(server))[-1]
    assert record["serviceEventDetails"] == {
        "accountId": FIRST,
        "accessKeyId": credentials_of(server).access_key,
        "deletedAccessKeyIds": [first.access_key, second.access_key],
    }
    assert credentials_of(server).secret_key not in str(record)


def test_others_are_deactivated(server: RunningServer) -> None:
    before = credentials_of(server)
    told = succeed(data_of(server), "account", "root-key", FIRST, "--deactivate-others")
    assert f"deactivated:\t{before.access_key}" in told
    assert not works(server, before)
    iam = client_with(server, "iam", credentials_of(server))
    iam.update_access_key(AccessKeyId=before.access_key, Status="Active")
    assert works(server, before)
    both = strongroom(data_of(server), "account", "root-key", FIRST, "--replace", "--deactivate-others")
    assert (both.returncode, "not both" in both.stderr) == (2, True)


@pytest.mark.parametrize("lost", ["deleted", "inactive", "removed from the file", "no file"])
def test_each_way_to_lose_the_root_access_key_has_a_way_back(server: RunningServer, lost: str) -> None:
    key = credentials_of(server)
    iam = client_with(server, "iam", key)
    if lost == "deleted":
        iam.delete_access_key(AccessKeyId=key.access_key)
        assert "no root access key; for one, run:" in succeed(data_of(server), "account", "list")
    elif lost == "inactive":
        iam.update_access_key(AccessKeyId=key.access_key, Status="Inactive")
    elif lost == "removed from the file":
        file_of(server).write_text("[mine]\naws_access_key_id = x\n")
    else:
        file_of(server).unlink()
    succeed(data_of(server), "account", "root-key", FIRST)
    assert works(server, credentials_of(server))
    assert ("[mine]" in file_of(server).read_text()) == (lost == "removed from the file")


def test_accounts_and_files_that_are_refused(server: RunningServer) -> None:
    for arguments, text, code in (
        (("account", "root-key", "999999999999"), "there is no account 999999999999", 1),
        (("account", "root-key", "99"), "`99` is no account id, which has 12 digits", 2),
    ):
        done = strongroom(data_of(server), *arguments)
        assert (done.returncode, text in done.stderr) == (code, True)
    text = file_of(server).read_text()
    file_of(server).write_text(f"{text}[default\n")
    done = strongroom(data_of(server), "account", "root-key", FIRST)
    (line,) = done.stderr.splitlines()
    assert "repair it or move it away, and run this again" in line
    assert file_of(server).read_text() == f"{text}[default\n"
    file_of(server).write_text(text)
    assert command_records(data_of(server)) == []


def test_a_profile_that_works_no_more_is_named_with_the_command_that_helps(server: RunningServer) -> None:
    succeed(data_of(server), "account", "create", SECOND)
    succeed(data_of(server), "service", "create", SERVICE)
    quiet = strongroom(data_of(server), "account", "list")
    assert quiet.stderr == ""
    key = credentials_of(server)
    iam = client_with(server, "iam", key)
    made = iam.create_access_key()["AccessKey"]
    iam.delete_access_key(AccessKeyId=key.access_key)
    text = file_of(server).read_text()
    second, service = credentials_of(server, SECOND), credentials_of(server, SERVICE)
    text = text.replace(second.secret_key, "another-secret-than-that")
    text += "\n[ci]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = some-secret-that-is-old\n"
    text += "\n[session]\naws_access_key_id = ASIAIOSFODNN7EXAMPLE\naws_session_token = x\n[role]\nrole_arn = x\n"
    file_of(server).write_text(text)
    default, other, ci = strongroom(data_of(server), "account", "list").stderr.splitlines()
    assert f"profile default in `{file_of(server)}` does not work any more: access key {key.access_key}" in default
    assert default.endswith(f"does not exist; for a new one, run: strongroom account root-key {FIRST}")
    assert other.endswith(f"has another secret; for a new one, run: strongroom account root-key {SECOND}")
    assert ci.endswith("does not exist; give the profile another access key, or remove it from the file")
    assert "another-secret" not in other
    assert file_of(server).read_text() == text
    # What it says helps: the other key of the account, made through IAM, works on.
    succeed(data_of(server), "account", "root-key", FIRST)
    assert works(server, Credentials(made["AccessKeyId"], made["SecretAccessKey"]))
    succeed(data_of(server), "service", "delete", SERVICE)
    left = f"\n[{SERVICE}]\naws_access_key_id = {service.access_key}\naws_secret_access_key = {service.secret_key}\n"
    file_of(server).write_text(file_of(server).read_text() + left)
    warnings = strongroom(data_of(server), "service", "list").stderr
    assert f"run: strongroom service create {SERVICE}\n" in warnings


def test_a_key_whose_policy_shuts_every_caller_out_gets_the_default_policy(server: RunningServer) -> None:
    kms = client_of(server)
    key = kms.create_key()["KeyMetadata"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    shut = document(deny("*"))
    kms.put_key_policy(KeyId=key["KeyId"], Policy=shut, BypassPolicyLockoutSafetyCheck=True)
    assert error_code_of(kms.decrypt, CiphertextBlob=blob) == "AccessDeniedException"
    earlier = succeed(data_of(server), "key", "reset-policy", key["Arn"])
    assert json.loads(earlier) == json.loads(shut)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert "Enable IAM User Permissions" in kms.get_key_policy(KeyId=key["KeyId"])["Policy"]
    (record,) = command_records(data_of(server))
    assert record["eventName"] == "ResetKeyPolicy"
    assert record["serviceEventDetails"]["keyArn"] == key["Arn"]
    assert json.loads(record["serviceEventDetails"]["earlierPolicy"]) == json.loads(shut)
    for arn, code in ((key["Arn"][:-1] + "x", 1), ("some-key", 2), (f"arn:aws:kms:us-east-1:{FIRST}:alias/x", 1)):
        refused = strongroom(data_of(server), "key", "reset-policy", arn)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (code, 1)


def test_a_start_names_stale_profiles(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", tmp_path / "log") as server:
        iam = client_with(server, "iam", key := credentials_of(server))
        iam.update_access_key(AccessKeyId=key.access_key, Status="Inactive")
        assert server.stop() == 0
    assert "does not work any more" not in (tmp_path / "log").read_text()
    with running_server(tmp_path / "data", tmp_path / "log2") as server:
        assert server.stop() == 0
    (line,) = [each for each in (tmp_path / "log2").read_text().splitlines() if "does not work any more" in each]
    assert "is inactive; for a new one, run: strongroom account root-key 000000000000" in line
