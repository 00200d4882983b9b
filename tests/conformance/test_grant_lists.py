"""ListGrants and ListRetirableGrants: their entries, filters, pages and permissions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.credentials import Credentials
from mypy_boto3_iam.client import IAMClient
from mypy_boto3_kms.client import KMSClient

from accounts import Account
from client_errors import error_code_of, error_of
from clients import client_of, client_with
from identities import ACCOUNT, ACCOUNT_ROOT, Identities, Person
from local_server import RunningServer
from policies import allow

KEYS = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/"


def grant(kms: Any, key_id: str, to: str, **more: Any) -> str:
    """Make a grant to encrypt; return its id."""
    asked: dict[str, Any] = {"Operations": ["Encrypt"], **more}
    grant_id: str = kms.create_grant(KeyId=key_id, GranteePrincipal=to, **asked)["GrantId"]
    return grant_id


def listed(call: Any, **arguments: Any) -> list[str]:
    return [each["GrantId"] for each in call(**arguments)["Grants"]]


@pytest.fixture
def user(identities: Identities) -> Person:
    return identities.user()


def test_an_entry_shows_what_was_asked_for_and_nothing_that_was_not(kms: KMSClient, user: Person, key_id: str) -> None:
    bare = grant(kms, key_id, user.arn)
    (entry,) = kms.list_grants(KeyId=key_id)["Grants"]
    now = datetime.now(UTC)  # noqa: TID251 - a client
    assert now - timedelta(minutes=1) < entry.pop("CreationDate") <= now
    assert entry == {
        "KeyId": KEYS + key_id,
        "GrantId": bare,
        "Name": "",
        "GranteePrincipal": user.arn,
        "IssuingAccount": ACCOUNT_ROOT,
        "Operations": ["Encrypt"],
    }
    full = grant(
        kms,
        key_id,
        user.arn,
        Name="nightly",
        RetiringPrincipal=ACCOUNT_ROOT,
        Operations=["Decrypt", "Encrypt"],
        Constraints={"EncryptionContextSubset": {"Dept": "IT"}},
    )
    (entry,) = kms.list_grants(KeyId=key_id, GrantId=full)["Grants"]
    del entry["CreationDate"]
    assert entry == {
        "KeyId": KEYS + key_id,
        "GrantId": full,
        "Name": "nightly",
        "GranteePrincipal": user.arn,
        "RetiringPrincipal": ACCOUNT_ROOT,
        "IssuingAccount": ACCOUNT_ROOT,
        "Operations": ["Decrypt", "Encrypt"],
        "Constraints": {"EncryptionContextSubset": {"Dept": "IT"}},
    }


def test_services_are_shown_in_members_of_their_own(kms: KMSClient, key_id: str) -> None:
    source = f"arn:aws:s3:us-east-1:{ACCOUNT}:bucket"
    kms.create_grant(
        KeyId=key_id,
        Operations=["Decrypt"],
        GranteeServicePrincipal="backup.amazonaws.com",
        RetiringServicePrincipal="vault.amazonaws.com",
        Constraints={"SourceArn": source},
    )
    (entry,) = kms.list_grants(KeyId=key_id)["Grants"]
    assert entry["GranteeServicePrincipal"] == "backup.amazonaws.com"
    assert entry["RetiringServicePrincipal"] == "vault.amazonaws.com"
    assert entry["Constraints"] == {"SourceArn": source}
    assert not {"GranteePrincipal", "RetiringPrincipal"} & set(entry)


def test_filters_and_what_is_wrong_with_them(kms: KMSClient, identities: Identities, user: Person, key_id: str) -> None:
    other = identities.user()
    mine, theirs = sorted(grant(kms, key_id, user.arn) for _ in range(2)), grant(kms, key_id, other.arn)
    assert listed(kms.list_grants, KeyId=key_id) == sorted([*mine, theirs])
    assert listed(kms.list_grants, KeyId=key_id, GranteePrincipal=user.arn) == mine
    assert listed(kms.list_grants, KeyId=key_id, GrantId=theirs) == [theirs]
    assert listed(kms.list_grants, KeyId=key_id, GrantId=theirs, GranteePrincipal=user.arn) == []
    assert listed(kms.list_grants, KeyId=key_id, GranteePrincipal=ACCOUNT) == []
    assert error_code_of(kms.list_grants, KeyId=key_id, GrantId="0" * 64) == "InvalidGrantIdException"
    nobody = f"arn:aws:iam::{ACCOUNT}:user/nobody"
    assert error_of(kms.list_grants, KeyId=key_id, GranteePrincipal=nobody) == {
        "Code": "InvalidArnException",
        "Message": f"ARN does not refer to a valid principal: {nobody}",
    }
    both = {"GranteePrincipal": user.arn, "GranteeServicePrincipal": "backup.amazonaws.com"}
    assert error_code_of(kms.list_grants, KeyId=key_id, **both) == "ValidationException"
    refusal = error_of(kms.list_grants, KeyId=key_id, GranteeServicePrincipal="backup.amazonaws.com")
    assert refusal == {
        "Code": "ValidationException",
        "Message": "Only services can list the grants of which a service is the grantee.",
    }
    assert error_code_of(kms.list_grants, KeyId="alias/x") == "InvalidArnException"


def test_lists_come_in_pages(kms: KMSClient, user: Person, key_id: str) -> None:
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    made = sorted(grant(kms, key_id, user.arn, RetiringPrincipal=user.arn) for _ in range(5))
    everywhere = sorted([*made, grant(kms, other, ACCOUNT, RetiringPrincipal=user.arn)])
    for pages, expected in (
        (kms.get_paginator("list_grants").paginate(KeyId=key_id, PaginationConfig={"PageSize": 2}), made),
        (
            kms.get_paginator("list_retirable_grants").paginate(
                RetiringPrincipal=user.arn, PaginationConfig={"PageSize": 4}
            ),
            everywhere,
        ),
    ):
        assert [each["GrantId"] for page in pages for each in page["Grants"]] == expected
    first, last = kms.list_grants(KeyId=key_id, Limit=4), kms.list_grants(KeyId=key_id, Limit=5)
    assert (first["Truncated"], last["Truncated"], "NextMarker" in last) == (True, False, False)
    for bad in (first["NextMarker"], "nonsense"):
        assert error_code_of(kms.list_grants, KeyId=other, Marker=bad) == "InvalidMarkerException"
    assert error_code_of(kms.list_retirable_grants, RetiringPrincipal=user.arn, Marker=first["NextMarker"]) == (
        "InvalidMarkerException"
    )
    assert error_code_of(kms.list_grants, KeyId=key_id, Limit=1001) == "ValidationException"


def test_retirable_grants_are_those_of_a_principal_of_ones_own_account_in_the_region(
    server: RunningServer, kms: KMSClient, identities: Identities, user: Person, away: Account, key_id: str
) -> None:
    theirs = away.kms.create_key()["KeyMetadata"]["Arn"]
    ireland = client_of(server, "eu-west-1")
    grant(ireland, ireland.create_key()["KeyMetadata"]["KeyId"], ACCOUNT, RetiringPrincipal=user.arn)
    grant(kms, key_id, user.arn, RetiringPrincipal=ACCOUNT)
    mine = grant(kms, key_id, ACCOUNT, RetiringPrincipal=user.arn)
    abroad = grant(away.kms, theirs, away.account, RetiringPrincipal=user.arn)
    assert listed(kms.list_retirable_grants, RetiringPrincipal=user.arn) == sorted([mine, abroad])
    assert listed(kms.list_retirable_grants, RetiringPrincipal=user.user_id) == sorted([mine, abroad])
    assert error_code_of(away.kms.list_retirable_grants, RetiringPrincipal=user.arn) == "InvalidArnException"
    assert error_code_of(away.kms.list_retirable_grants, RetiringPrincipal=user.user_id) == "InvalidArnException"
    assert error_code_of(away.kms.list_retirable_grants, RetiringPrincipal=ACCOUNT_ROOT) == "InvalidArnException"
    # Only services may list what a service may retire.
    for wrong in (
        {},
        {"RetiringServicePrincipal": "backup.amazonaws.com"},
        {"RetiringPrincipal": user.arn, "RetiringServicePrincipal": "backup.amazonaws.com"},
    ):
        assert error_code_of(kms.list_retirable_grants, **wrong) == "ValidationException"
    # IAM policies alone decide; the key's policy does not count.
    assert error_code_of(user.kms.list_retirable_grants, RetiringPrincipal=user.arn) == "AccessDeniedException"
    lister = identities.user(allow(do="kms:ListRetirableGrants"))
    assert listed(lister.kms.list_retirable_grants, RetiringPrincipal=user.arn) == sorted([mine, abroad])


def test_a_deleted_user_is_shown_and_found_by_its_unique_id_and_a_new_one_of_its_name_has_nothing(
    server: RunningServer, kms: KMSClient, iam: IAMClient, user: Person, key_id: str
) -> None:
    made = grant(kms, key_id, user.arn, RetiringPrincipal=user.arn)
    user.kms.encrypt(KeyId=key_id, Plaintext=b"x")
    iam.update_user(UserName=user.name, NewUserName=f"{user.name}-renamed")
    (entry,) = kms.list_grants(KeyId=key_id)["Grants"]
    assert entry["GranteePrincipal"] == f"{user.arn}-renamed"
    user.kms.encrypt(KeyId=key_id, Plaintext=b"x")
    iam.update_user(UserName=f"{user.name}-renamed", NewUserName=user.name)
    iam.delete_access_key(UserName=user.name, AccessKeyId=user.access_key_id)
    iam.delete_user(UserName=user.name)
    (entry,) = kms.list_grants(KeyId=key_id)["Grants"]
    assert (entry["GranteePrincipal"], entry["RetiringPrincipal"]) == (user.user_id, user.user_id)
    assert listed(kms.list_grants, KeyId=key_id, GranteePrincipal=user.user_id) == [made]
    assert error_code_of(kms.list_grants, KeyId=key_id, GranteePrincipal=user.arn) == "InvalidArnException"
    iam.create_user(UserName=user.name)
    (entry,) = kms.list_grants(KeyId=key_id)["Grants"]
    assert entry["GranteePrincipal"] == user.user_id
    assert listed(kms.list_grants, KeyId=key_id, GranteePrincipal=user.arn) == []
    key = iam.create_access_key(UserName=user.name)["AccessKey"]
    namesake = client_with(server, "kms", Credentials(key["AccessKeyId"], key["SecretAccessKey"]))
    assert error_code_of(namesake.encrypt, KeyId=key_id, Plaintext=b"x") == "AccessDeniedException"
