"""Access keys: the secret is shown once, and a deleted or inactive key is refused on the next call."""

import re
import time
from pathlib import Path
from typing import Any

from botocore.credentials import Credentials
from mypy_boto3_iam.client import IAMClient

from client_errors import error_of, error_with_status
from clients import client_with
from identities import ACCOUNT, Identities
from local_server import RunningServer
from policies import allow
from written_data import written_data

INVALID = "The security token included in the request is invalid."


def test_a_secret_is_shown_once_and_never_stored_in_plaintext(
    server: RunningServer, iam: IAMClient, identities: Identities
) -> None:
    user = identities.user()
    made: Any = iam.create_access_key(UserName=user.name)["AccessKey"]
    assert re.fullmatch("AKIA[A-Z2-7]{16}", made["AccessKeyId"])
    assert len(made["SecretAccessKey"]) == 40
    assert (made["UserName"], made["Status"]) == (user.name, "Active")
    listed: Any = iam.list_access_keys(UserName=user.name)["AccessKeyMetadata"]
    (again,) = [each for each in listed if each["AccessKeyId"] == made["AccessKeyId"]]
    secret = made.pop("SecretAccessKey")
    assert again == made
    credentials = Credentials(made["AccessKeyId"], secret)
    assert client_with(server, "sts", credentials).get_caller_identity()["Arn"] == user.arn
    data = Path(server.environment["AWS_SHARED_CREDENTIALS_FILE"]).parent
    for name, content in written_data(data):
        assert secret.encode() not in content, name


def test_a_user_has_two_at_most(iam: IAMClient, identities: Identities) -> None:
    user = identities.user()
    iam.create_access_key(UserName=user.name)
    assert error_with_status(409, iam.create_access_key, UserName=user.name) == {
        "Code": "LimitExceeded",
        "Message": "Cannot exceed quota for AccessKeysPerUser: 2",
    }
    pages = list(iam.get_paginator("list_access_keys").paginate(UserName=user.name, PaginationConfig={"PageSize": 1}))
    assert [len(page["AccessKeyMetadata"]) for page in pages] == [1, 1]


def test_an_inactive_key_is_refused_until_it_is_active_again(iam: IAMClient, identities: Identities) -> None:
    user = identities.user(allow(do=["kms:ListKeys", "iam:GetUser"]))
    key = {"UserName": user.name, "AccessKeyId": user.access_key_id}
    for _ in range(2):
        user.kms.list_keys()
        user.iam.get_user()
        iam.update_access_key(**key, Status="Inactive")
        assert error_of(user.kms.list_keys) == {"Code": "UnrecognizedClientException", "Message": INVALID}
        assert error_with_status(403, user.iam.get_user) == {"Code": "InvalidClientTokenId", "Message": INVALID}
        assert iam.list_access_keys(UserName=user.name)["AccessKeyMetadata"][0]["Status"] == "Inactive"
        iam.update_access_key(**key, Status="Active")
    user.kms.list_keys()
    assert error_of(iam.update_access_key, **key, Status="Asleep")["Code"] == "ValidationError"


def test_a_deleted_key_is_refused_and_unknown(iam: IAMClient, identities: Identities) -> None:
    user, other = identities.user(allow(do="kms:ListKeys")), identities.user()
    unknown = {"Code": "NoSuchEntity", "Message": f"The Access Key with id {user.access_key_id} cannot be found"}
    # A key belongs to one user: naming another user does not find it.
    for call, more in ((iam.delete_access_key, {}), (iam.update_access_key, {"Status": "Inactive"})):
        key = {"UserName": other.name, "AccessKeyId": user.access_key_id}
        assert error_with_status(404, call, **key, **more) == unknown
    user.kms.list_keys()
    iam.delete_access_key(UserName=user.name, AccessKeyId=user.access_key_id)
    assert error_of(user.kms.list_keys)["Code"] == "UnrecognizedClientException"
    key = {"AccessKeyId": user.access_key_id}
    assert error_with_status(404, iam.delete_access_key, **key, UserName=user.name) == unknown
    assert error_with_status(404, iam.get_access_key_last_used, **key)["Code"] == "NoSuchEntity"


def test_the_root_has_keys_of_its_own(server: RunningServer, iam: IAMClient) -> None:
    made: Any = iam.create_access_key()["AccessKey"]
    try:
        assert "UserName" not in made
        own = iam.list_access_keys()["AccessKeyMetadata"]
        assert len(own) == 2
        assert made["AccessKeyId"] in {key["AccessKeyId"] for key in own}
        assert error_with_status(409, iam.create_access_key)["Code"] == "LimitExceeded"
        sts = client_with(server, "sts", Credentials(made["AccessKeyId"], made["SecretAccessKey"]))
        assert sts.get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    finally:
        iam.delete_access_key(AccessKeyId=made["AccessKeyId"])
    assert error_with_status(403, sts.get_caller_identity)["Code"] == "InvalidClientTokenId"


def test_a_user_manages_its_own_without_naming_itself(identities: Identities) -> None:
    actions = ["CreateAccessKey", "DeleteAccessKey", "ListAccessKeys", "UpdateAccessKey", "GetAccessKeyLastUsed"]
    own = f"arn:aws:iam::{ACCOUNT}:user/${{aws:username}}"
    user, other = (identities.user(allow(do=[f"iam:{action}" for action in actions], on=own)) for _ in range(2))
    second = user.iam.create_access_key()["AccessKey"]
    assert second["UserName"] == user.name
    key = {"AccessKeyId": second["AccessKeyId"]}
    user.iam.update_access_key(**key, Status="Inactive")
    assert user.iam.get_access_key_last_used(**key)["UserName"] == user.name
    assert len(user.iam.list_access_keys()["AccessKeyMetadata"]) == 2
    user.iam.delete_access_key(**key)
    for call, arguments in (
        (user.iam.create_access_key, {"UserName": other.name}),
        (user.iam.list_access_keys, {"UserName": other.name}),
        (user.iam.get_access_key_last_used, {"AccessKeyId": other.access_key_id}),
    ):
        refusal = error_with_status(403, call, **arguments)
        assert refusal["Code"] == "AccessDenied"
        assert f"on resource: {other.arn}" in refusal["Message"]


def test_the_last_use_is_written_down_within_the_keepers_interval(iam: IAMClient, identities: Identities) -> None:
    user = identities.user(allow(do="kms:ListKeys"))
    never: Any = iam.get_access_key_last_used(AccessKeyId=user.access_key_id)
    assert never["UserName"] == user.name
    assert never["AccessKeyLastUsed"] == {"Region": "N/A", "ServiceName": "N/A"}
    before = time.time()  # noqa: TID251 - a client
    user.kms.list_keys()
    deadline = time.monotonic() + 30
    while "LastUsedDate" not in never["AccessKeyLastUsed"] and time.monotonic() < deadline:
        time.sleep(0.1)
        never = iam.get_access_key_last_used(AccessKeyId=user.access_key_id)
    used = never["AccessKeyLastUsed"]
    assert abs(used["LastUsedDate"].timestamp() - before) < 5
    assert (used["Region"], used["ServiceName"]) == ("us-east-1", "kms")
