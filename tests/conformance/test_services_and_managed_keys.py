"""Services that are trusted to call on behalf of principals, and the AWS managed keys they have in every account."""

import json
import re
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest
from mypy_boto3_kms.client import KMSClient

from accounts import Account, data_of, last_record, strongroom, succeed
from client_errors import error_code_of, error_of, error_with_status
from clients import client_with, credentials_of, send, signed
from identities import ACCOUNT, ACCOUNT_ROOT, Identities, new_name
from local_server import RunningServer
from policies import Json, allow, deny, document
from sessions import SessionClients, assume

SERVICE = "backup.amazonaws.com"
ALIAS = "alias/aws/backup"
VAULT = f"arn:aws:backup:us-east-1:{ACCOUNT}:backup-vault:gold"


@pytest.fixture(scope="module", autouse=True)
def service(server: RunningServer) -> str:
    """Register the service while the server runs."""
    printed = succeed(data_of(server), "service", "create", SERVICE)
    assert f"Service {SERVICE} has an access key now" in printed
    return SERVICE


def calling(server: RunningServer, principal: str | None = None, **headers: str) -> KMSClient:
    """Return a client of the service, which calls for a principal, or for itself."""
    client = client_with(server, "kms", credentials_of(server, SERVICE))
    found = {f"X-Amz-{name.title().replace('_', '-')}": value for name, value in headers.items()}
    if principal is not None:
        found["X-Strongroom-On-Behalf-Of"] = principal

    def add(request: AWSRequest, **_: object) -> None:
        for name, value in found.items():
            request.headers[name] = value

    client.meta.events.register("before-sign.kms", add)
    return client


def key_with(kms: KMSClient, *statements: Json) -> str:
    """Return the id of a new key whose policy also delegates to the account."""
    policy = document(allow(ACCOUNT_ROOT), *statements)
    return kms.create_key(Policy=policy)["KeyMetadata"]["KeyId"]


def arn_of(key_id: str) -> str:
    return f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{key_id}"


# --- services


def test_a_service_has_one_access_key(server: RunningServer) -> None:
    again = strongroom(data_of(server), "service", "create", SERVICE)
    assert (again.returncode, again.stderr) == (1, f"Error: service {SERVICE} has an access key already\n")
    for name in ("backup", "Backup.amazonaws.com", "backup.example.com", ".amazonaws.com", "a\n.amazonaws.com"):
        refused = strongroom(data_of(server), "service", "create", name)
        assert refused.returncode == 2
        assert "a service is named like backup.amazonaws.com" in refused.stderr


def test_a_deleted_service_is_refused_at_once(server: RunningServer) -> None:
    name, data = "sns.amazonaws.com", data_of(server)
    succeed(data, "service", "create", name)
    keys = credentials_of(server, name)
    client = client_with(server, "sts", keys)
    listed = {line.split("\t")[0]: line.split("\t")[1:] for line in succeed(data, "service", "list").splitlines()}
    assert {name, SERVICE} <= set(listed)
    assert listed[name][0] == keys.access_key
    assert re.fullmatch("made 20[0-9TZ:-]+Z", listed[name][1])
    assert listed[name][2] == "never used"
    before = (data / "credentials").read_text()
    client.get_caller_identity()

    assert succeed(data, "service", "delete", name) == f"Service {name} has no access key any more.\n"
    assert error_with_status(403, client.get_caller_identity)["Code"] == "InvalidClientTokenId"
    assert error_code_of(client_with(server, "kms", keys).list_keys) == "UnrecognizedClientException"
    assert name not in succeed(data, "service", "list")
    after = (data / "credentials").read_text()
    assert (f"[{name}]" in before, f"[{name}]" in after, keys.secret_key in after) == (True, False, False)
    assert (data / "credentials").stat().st_mode & 0o777 == 0o600
    client_with(server, "sts", credentials_of(server, SERVICE)).get_caller_identity()
    again = strongroom(data, "service", "delete", name)
    assert (again.returncode, again.stderr) == (1, f"Error: service {name} has no access key\n")

    # It can come back, with another access key.
    succeed(data, "service", "create", name)
    assert credentials_of(server, name).access_key != keys.access_key
    client_with(server, "sts", credentials_of(server, name)).get_caller_identity()
    assert error_with_status(403, client.get_caller_identity)["Code"] == "InvalidClientTokenId"
    succeed(data, "service", "delete", name)


def test_a_service_may_do_what_a_key_policy_lets_it(server: RunningServer, kms: KMSClient) -> None:
    for_vault = {"StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnLike": {"aws:SourceArn": VAULT}}
    key = arn_of(key_with(kms, allow(f"S:{SERVICE}", do="kms:Encrypt", when=for_vault)))
    calling(server, source_arn=VAULT, source_account=ACCOUNT).encrypt(KeyId=key, Plaintext=b"x")
    assert last_record(server)["userIdentity"] == {
        "type": "AWSService",
        "accessKeyId": credentials_of(server, SERVICE).access_key,
        "invokedBy": SERVICE,
    }
    assert last_record(server)["recipientAccountId"] == ACCOUNT
    for headers in ({}, {"source_arn": VAULT}, {"source_arn": VAULT + "2", "source_account": ACCOUNT}):
        refusal = error_of(calling(server, **headers).encrypt, KeyId=key, Plaintext=b"x")
        assert refusal["Message"].startswith(
            f"User: {SERVICE} is not authorized to perform: kms:Encrypt on this resource"
        )


def test_others_cannot_say_that_they_call_for_a_resource(
    server: RunningServer, kms: KMSClient, identities: Identities
) -> None:
    user = identities.user()
    key = arn_of(key_with(kms, allow(user.arn, do="kms:Encrypt", when={"ArnLike": {"aws:SourceArn": VAULT}})))
    body = json.dumps({"KeyId": key, "Plaintext": "eA=="}).encode()
    more = {"X-Amz-Source-Arn": VAULT}
    assert send(server, signed(server, "Encrypt", body, credentials=user.credentials, more=more)).error == (
        "AccessDeniedException"
    )


def test_a_call_on_behalf_of_a_user_has_the_users_rights(
    server: RunningServer, kms: KMSClient, identities: Identities
) -> None:
    user = identities.user(allow(do="kms:DescribeKey"))
    key_id = key_with(kms)
    client = calling(server, user.arn)
    client.describe_key(KeyId=key_id)
    assert error_of(client.encrypt, KeyId=key_id, Plaintext=b"x")["Message"].startswith(
        f"User: {user.arn} is not authorized to perform: kms:Encrypt on resource: {arn_of(key_id)}"
    )
    identity = last_record(server)["userIdentity"]
    assert (identity["type"], identity["arn"], identity["invokedBy"]) == ("IAMUser", user.arn, SERVICE)
    identities.iam.delete_user_policy(UserName=user.name, PolicyName="own")
    assert error_code_of(client.describe_key, KeyId=key_id) == "AccessDeniedException"
    identities.iam.delete_access_key(UserName=user.name, AccessKeyId=user.access_key_id)
    identities.iam.delete_user(UserName=user.name)
    assert error_of(client.describe_key, KeyId=key_id)["Message"].startswith(f"{SERVICE} may not call on behalf of")


def test_a_service_assumes_a_role_that_trusts_it(server: RunningServer, identities: Identities) -> None:
    trust = document({"Effect": "Allow", "Principal": {"Service": SERVICE}, "Action": "sts:AssumeRole"})
    role = identities.iam.create_role(RoleName=new_name("role"), AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    sts = client_with(server, "sts", credentials_of(server, SERVICE))
    session = SessionClients(server, assume(sts, role))
    assert session.sts.get_caller_identity()["Account"] == ACCOUNT
    closed = identities.role()["Arn"]
    assert error_with_status(403, sts.assume_role, RoleArn=closed, RoleSessionName="job")["Code"] == "AccessDenied"


@pytest.mark.parametrize(
    ("condition", "via", "direct"),
    [
        ({"StringEquals": {"kms:ViaService": "backup.us-east-1.amazonaws.com"}}, True, False),
        ({"StringEquals": {"kms:ViaService": "backup.eu-west-1.amazonaws.com"}}, False, False),
        ({"StringEquals": {"kms:ViaService": SERVICE}}, False, False),
        ({"ForAnyValue:StringEquals": {"aws:CalledVia": SERVICE}}, True, False),
        ({"Bool": {"aws:ViaAWSService": "true"}}, True, False),
        ({"Bool": {"aws:ViaAWSService": "false"}}, False, True),
        ({"StringEquals": {"kms:CallerAccount": ACCOUNT}}, True, True),
        ({"StringEquals": {"kms:CallerAccount": "444455556666"}}, False, False),
        ({"Bool": {"aws:PrincipalIsAWSService": "true"}}, False, False),
        ({"Null": {"aws:PrincipalServiceName": "true"}}, True, True),
    ],
)
def test_the_way_a_call_takes(
    server: RunningServer, kms: KMSClient, identities: Identities, condition: Json, *, via: bool, direct: bool
) -> None:
    user = identities.user()
    key_id = key_with(kms, allow(user.arn, do="kms:Encrypt", when=condition))
    for client, opens in ((calling(server, user.arn), via), (user.kms, direct)):
        if opens:
            client.encrypt(KeyId=key_id, Plaintext=b"x")
        else:
            assert error_code_of(client.encrypt, KeyId=key_id, Plaintext=b"x") == "AccessDeniedException"


def test_who_cannot_call_on_behalf_of_others(server: RunningServer, identities: Identities, away: Account) -> None:
    user = identities.user(allow(do="*"))
    more = {"X-Strongroom-On-Behalf-Of": ACCOUNT_ROOT}
    assert send(server, signed(server, credentials=user.credentials, more=more)).error == "AccessDeniedException"
    for absent in (f"arn:aws:iam::{ACCOUNT}:user/nobody", f"arn:aws:iam::{away.account}:role/nobody", SERVICE):
        assert error_of(calling(server, absent).list_keys) == {
            "Code": "AccessDeniedException",
            "Message": f"{SERVICE} may not call on behalf of {absent}",
        }
    unsigned = signed(server, credentials=credentials_of(server, SERVICE))
    unsigned.headers["X-Strongroom-On-Behalf-Of"] = ACCOUNT_ROOT
    assert send(server, unsigned).error == "InvalidSignatureException"


def test_a_grant_to_a_service_names_the_resource_it_is_for(server: RunningServer, kms: KMSClient) -> None:
    key_id = key_with(kms, allow(f"S:{SERVICE}", do="kms:ListGrants"))
    grant: Any = {
        "KeyId": key_id,
        "GranteeServicePrincipal": SERVICE,
        "RetiringServicePrincipal": SERVICE,
        "Operations": ["Encrypt", "Decrypt", "DescribeKey"],
    }
    assert error_code_of(kms.create_grant, **grant) == "ValidationException"
    made = kms.create_grant(**grant, Constraints={"SourceArn": VAULT})
    key = arn_of(key_id)
    for_vault = calling(server, source_arn=VAULT)
    blob = for_vault.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert for_vault.decrypt(CiphertextBlob=blob, KeyId=key)["Plaintext"] == b"x"
    for_vault.describe_key(KeyId=key)
    for other in (calling(server), calling(server, source_arn=VAULT + "2")):
        assert error_code_of(other.encrypt, KeyId=key, Plaintext=b"x") == "AccessDeniedException"
    assert error_code_of(for_vault.generate_data_key, KeyId=key, KeySpec="AES_256") == "AccessDeniedException"
    (shown,) = for_vault.list_grants(KeyId=key, GranteeServicePrincipal=SERVICE)["Grants"]
    assert shown["GranteeServicePrincipal"] == SERVICE
    assert for_vault.list_grants(KeyId=key, GranteeServicePrincipal="s3.amazonaws.com")["Grants"] == []
    kms.revoke_grant(KeyId=key_id, GrantId=made["GrantId"])
    assert error_code_of(for_vault.encrypt, KeyId=key, Plaintext=b"x") == "AccessDeniedException"


def test_a_grant_to_a_service_by_its_name(server: RunningServer, kms: KMSClient) -> None:
    """AWS takes it as GranteePrincipal and RetiringPrincipal too, and then asks for no source ARN."""
    key_id = key_with(kms)
    grant: Any = {"KeyId": key_id, "GranteePrincipal": SERVICE, "RetiringPrincipal": SERVICE, "Operations": ["Encrypt"]}
    made = kms.create_grant(**grant)
    client, key = calling(server), arn_of(key_id)
    client.encrypt(KeyId=key, Plaintext=b"x")
    assert error_code_of(client.generate_data_key, KeyId=key, KeySpec="AES_256") == "AccessDeniedException"
    (shown,) = kms.list_grants(KeyId=key_id, GranteePrincipal=SERVICE)["Grants"]
    assert (shown["GranteePrincipal"], shown["RetiringPrincipal"]) == (SERVICE, SERVICE)
    assert "GranteeServicePrincipal" not in set(shown)
    refusal = error_of(kms.list_retirable_grants, RetiringPrincipal=SERVICE)
    assert refusal == {"Code": "InvalidArnException", "Message": f"ARN does not refer to a valid principal: {SERVICE}"}
    client.retire_grant(KeyId=key, GrantId=made["GrantId"])
    assert error_code_of(client.encrypt, KeyId=key, Plaintext=b"x") == "AccessDeniedException"
    for name in ("backup.example.com", ".amazonaws.com", "amazonaws.com", "backup.amazonaws.com.example"):
        assert error_of(kms.create_grant, **{**grant, "GranteePrincipal": name}) == {
            "Code": "InvalidArnException",
            "Message": f"ARN does not refer to a valid principal: {name}",
        }


# --- AWS managed keys


def aliases_of(kms: KMSClient) -> set[str]:
    pages = kms.get_paginator("list_aliases").paginate()
    return {alias["AliasName"] for page in pages for alias in page["Aliases"]}


def test_the_key_of_a_service_is_made_when_it_is_first_needed(server: RunningServer, away: Account) -> None:
    user = away.identities.user(allow(do="kms:*"))
    assert error_code_of(user.kms.encrypt, KeyId=ALIAS, Plaintext=b"x") == "NotFoundException"
    assert error_code_of(calling(server).encrypt, KeyId=ALIAS, Plaintext=b"x") == "NotFoundException"
    assert error_code_of(user.kms.describe_key, KeyId="alias/aws/unknown") == "NotFoundException"
    assert ALIAS not in aliases_of(away.kms)
    client = calling(server, user.arn)
    blob = client.encrypt(KeyId=ALIAS, Plaintext=b"x")["CiphertextBlob"]
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert ALIAS in aliases_of(away.kms)
    made = user.kms.describe_key(KeyId=ALIAS)["KeyMetadata"]
    assert user.kms.describe_key(KeyId=ALIAS)["KeyMetadata"]["Arn"] == made["Arn"]
    assert (made["AWSAccountId"], made["KeyManager"], made["KeySpec"]) == (away.account, "AWS", "SYMMETRIC_DEFAULT")
    assert (made["MultiRegion"], made["Origin"], made["Enabled"]) == (False, "AWS_KMS", True)


def test_describing_it_makes_it_too_once_for_each_account_and_region(server: RunningServer, kms: KMSClient) -> None:
    made = kms.describe_key(KeyId=ALIAS)["KeyMetadata"]["Arn"]
    assert made.startswith(f"arn:aws:kms:us-east-1:{ACCOUNT}:key/")
    elsewhere = client_with(server, "kms", credentials_of(server), "eu-west-1").describe_key(KeyId=ALIAS)
    assert elsewhere["KeyMetadata"]["Arn"].startswith(f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/")
    assert kms.describe_key(KeyId=f"arn:aws:kms:us-east-1:{ACCOUNT}:{ALIAS}")["KeyMetadata"]["Arn"] == made


def test_it_is_only_made_for_those_who_may_use_it(server: RunningServer) -> None:
    there = Account(server, "121212121212")
    stranger, barred = there.identities.user(), there.identities.user(deny(do="kms:*"))
    sealing = {"Null": {"kms:EncryptionContext:case": "true"}}
    picky = there.identities.user({**deny(do="kms:GenerateDataKey"), "Condition": sealing})
    assert error_code_of(stranger.kms.describe_key, KeyId=ALIAS) == "NotFoundException"
    for client in (barred.kms, calling(server, barred.arn)):
        assert error_code_of(client.describe_key, KeyId=ALIAS) == "NotFoundException"
    # The service may not do everything on behalf of others, nor without what their policies ask for.
    through = calling(server, picky.arn)
    data_key: Any = {"KeyId": ALIAS, "KeySpec": "AES_256"}
    assert error_code_of(through.get_key_policy, KeyId=ALIAS) in {"NotFoundException", "InvalidArnException"}
    assert error_code_of(through.generate_data_key, **data_key) == "NotFoundException"
    assert ALIAS not in aliases_of(there.kms)
    assert there.kms.list_keys()["Keys"] == []
    assert through.generate_data_key(**data_key, EncryptionContext={"case": "7"})["Plaintext"]
    assert ALIAS in aliases_of(there.kms)
    assert error_code_of(stranger.kms.describe_key, KeyId=ALIAS) == "AccessDeniedException"


@pytest.fixture
def managed(kms: KMSClient) -> str:
    """Return the id of the service's key in the account."""
    return kms.describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyId"]


def test_its_policy_is_fixed(kms: KMSClient, managed: str) -> None:
    policy = json.loads(kms.get_key_policy(KeyId=managed)["Policy"])
    assert policy["Id"] == "auto-backup-1"
    through, direct = policy["Statement"]
    assert through["Principal"] == {"AWS": "*"}
    assert through["Action"] == [
        *("kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey")
    ]
    assert through["Condition"] == {
        "StringEquals": {"kms:CallerAccount": ACCOUNT, "kms:ViaService": "backup.us-east-1.amazonaws.com"}
    }
    assert direct["Principal"] == {"AWS": ACCOUNT_ROOT}
    assert direct["Action"] == ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"]


def test_everyone_in_the_account_uses_it_through_the_service(
    server: RunningServer, managed: str, identities: Identities, away: Account
) -> None:
    user, denied = identities.user(), identities.user(deny(do="kms:Encrypt"))
    calling(server, user.arn).encrypt(KeyId=managed, Plaintext=b"x")
    assert error_code_of(calling(server, denied.arn).encrypt, KeyId=managed, Plaintext=b"x") == "AccessDeniedException"
    stranger = away.identities.user(allow(do="kms:*"))
    refusal = error_of(calling(server, stranger.arn).encrypt, KeyId=arn_of(managed), Plaintext=b"x")
    assert "because the resource does not exist in this Region" in refusal["Message"]


def test_it_cannot_be_used_directly(kms: KMSClient, managed: str, identities: Identities) -> None:
    user = identities.user(allow(do="kms:*"))
    for client, caller in ((kms, ACCOUNT_ROOT), (user.kms, user.arn)):
        for key_id in (managed, ALIAS):
            assert error_of(client.encrypt, KeyId=key_id, Plaintext=b"x") == {
                "Code": "AccessDeniedException",
                "Message": f"User: {caller} is not authorized to perform: kms:Encrypt on resource: {arn_of(managed)} "
                "because no resource-based policy allows the kms:Encrypt action",
            }
        grant = {"KeyId": managed, "GranteePrincipal": caller, "Operations": ["Decrypt"]}
        assert error_code_of(client.create_grant, **grant) == "AccessDeniedException"
        client.describe_key(KeyId=managed)
        client.list_grants(KeyId=managed)


FORBIDDEN: dict[str, Json] = {
    "disable_key": {},
    "enable_key": {},
    "schedule_key_deletion": {},
    "cancel_key_deletion": {},
    "update_key_description": {"Description": "mine"},
    "tag_resource": {"Tags": [{"TagKey": "a", "TagValue": "b"}]},
    "untag_resource": {"TagKeys": ["a"]},
    "put_key_policy": {"Policy": document(allow(ACCOUNT_ROOT)), "BypassPolicyLockoutSafetyCheck": True},
    "enable_key_rotation": {},
    "disable_key_rotation": {},
    "rotate_key_on_demand": {},
}


@pytest.mark.parametrize("operation", FORBIDDEN)
def test_a_managed_key_cannot_be_changed(
    server: RunningServer, kms: KMSClient, managed: str, identities: Identities, operation: str
) -> None:
    action = "kms:" + operation.title().replace("_", "")
    user = identities.user(allow(do="*"))
    before = (kms.describe_key(KeyId=managed)["KeyMetadata"], kms.get_key_policy(KeyId=managed)["Policy"])
    for client, caller in ((kms, ACCOUNT_ROOT), (user.kms, user.arn), (calling(server, user.arn), user.arn)):
        refusal = error_of(getattr(client, operation), KeyId=managed, **FORBIDDEN[operation])
        assert refusal["Code"] == "AccessDeniedException"
        assert refusal["Message"] == (
            f"User: {caller} is not authorized to perform: {action} on resource: {arn_of(managed)} "
            f"because no resource-based policy allows the {action} action"
        )
    after = (kms.describe_key(KeyId=managed)["KeyMetadata"], kms.get_key_policy(KeyId=managed)["Policy"])
    assert after == before
    assert kms.get_key_rotation_status(KeyId=managed)["KeyRotationEnabled"] is True


def test_its_alias_stays_where_it_is(kms: KMSClient, managed: str, key_id: str) -> None:
    assert error_code_of(kms.create_alias, AliasName="alias/aws/mine", TargetKeyId=key_id) == "NotAuthorizedException"
    assert error_code_of(kms.update_alias, AliasName=ALIAS, TargetKeyId=key_id) == "NotAuthorizedException"
    assert error_code_of(kms.delete_alias, AliasName=ALIAS) == "NotAuthorizedException"
    refusal = error_of(kms.create_alias, AliasName="alias/mine", TargetKeyId=managed)
    assert refusal["Message"].endswith("because no resource-based policy allows the kms:CreateAlias action")
    kms.create_alias(AliasName=f"alias/{key_id}", TargetKeyId=key_id)
    refusal = error_of(kms.update_alias, AliasName=f"alias/{key_id}", TargetKeyId=managed)
    assert refusal["Message"].endswith("because no resource-based policy allows the kms:UpdateAlias action")


def test_a_service_makes_grants_on_it_for_its_users(
    server: RunningServer, kms: KMSClient, managed: str, identities: Identities
) -> None:
    user = identities.user()
    made = calling(server, user.arn).create_grant(KeyId=managed, GranteePrincipal=user.arn, Operations=["Encrypt"])
    user.kms.encrypt(KeyId=managed, Plaintext=b"x")
    kms.revoke_grant(KeyId=managed, GrantId=made["GrantId"])
    assert error_code_of(user.kms.encrypt, KeyId=managed, Plaintext=b"x") == "AccessDeniedException"
