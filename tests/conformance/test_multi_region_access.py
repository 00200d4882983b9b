"""Permissions to replicate a key and to change its primary, and the audit records in each Region."""

import itertools
import json
from typing import Any

import boto3
import pytest
from mypy_boto3_kms.client import KMSClient

from accounts import data_of
from audits import audit_records
from client_errors import error_code_of, error_of
from clients import ONCE, credentials_of
from local_server import RunningServer
from multi_region_keys import ACCOUNT, EAST, SOUTH, WEST, arn, new_primary
from policies import Json, allow, deny, document

TAGS = [{"TagKey": "team", "TagValue": "x"}]
ELSEWHERE = {"StringNotEquals": {"aws:RequestedRegion": EAST}}
numbers = itertools.count()


def client(server: RunningServer, service: Any, access_key: str, secret: str, region: str = EAST) -> Any:
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=server.endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        config=ONCE,
    )


def user(server: RunningServer, *statements: Json) -> tuple[str, Any, Any]:
    """Make a user with an identity policy; return its ARN and its clients in us-east-1 and eu-west-1."""
    root = credentials_of(server)
    iam = client(server, "iam", root.access_key, root.secret_key)
    name = f"replicator-{next(numbers)}"
    made: str = iam.create_user(UserName=name)["User"]["Arn"]
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document(*statements))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    east, west = (client(server, "kms", key["AccessKeyId"], key["SecretAccessKey"], region) for region in (EAST, WEST))
    return made, east, west


def records(server: RunningServer, name: str, key_id: str) -> list[Json]:
    found = audit_records(data_of(server))
    return [each for each in found if each["eventName"] == name and key_id in json.dumps(each)]


def test_replicating_needs_a_permission_in_each_region(three_regions: RunningServer, east: KMSClient) -> None:
    key_id = new_primary(east)
    here, there, tagging = (allow(do=f"kms:{name}") for name in ("ReplicateKey", "CreateKey", "TagResource"))
    in_east = {"StringEquals": {"aws:RequestedRegion": EAST}}
    for statements, missing in (
        ((there, tagging), "kms:ReplicateKey"),
        ((here, tagging), "kms:CreateKey"),
        ((here, there), "kms:TagResource"),
        ((here, tagging, allow(do="kms:CreateKey", when=in_east)), "kms:CreateKey"),
        ((here, there, tagging, deny(do="kms:TagResource", when=ELSEWHERE)), "kms:TagResource"),
    ):
        _, kms, _ = user(three_regions, *statements)
        refusal = error_of(kms.replicate_key, KeyId=key_id, ReplicaRegion=WEST, Tags=TAGS)
        assert refusal["Code"] == "AccessDeniedException"
        assert f"is not authorized to perform: {missing} on resource: " in refusal["Message"]
    _, kms, _ = user(three_regions, here, there)
    kms.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
    in_south = {"StringEquals": {"aws:RequestedRegion": SOUTH}}
    _, kms, _ = user(
        three_regions, here, *(allow(do=f"kms:{do}", when=in_south) for do in ("CreateKey", "TagResource"))
    )
    kms.replicate_key(KeyId=key_id, ReplicaRegion=SOUTH, Tags=TAGS)


@pytest.mark.parametrize(
    ("action", "condition"),
    [
        ("kms:ReplicateKey", {"StringEquals": {"kms:ReplicaRegion": WEST}}),
        ("kms:CreateKey", {"StringEquals": {"kms:MultiRegionKeyType": "REPLICA"}}),
        ("kms:CreateKey", {"Bool": {"kms:MultiRegion": "true"}}),
        ("kms:CreateKey", {"StringEquals": {"kms:KeySpec": "SYMMETRIC_DEFAULT"}}),
        ("kms:CreateKey", {"StringEquals": {"kms:KeyUsage": "ENCRYPT_DECRYPT"}}),
        ("kms:CreateKey", {"StringEquals": {"kms:KeyOrigin": "AWS_KMS"}}),
        ("kms:CreateKey", {"StringEquals": {"aws:RequestedRegion": WEST}}),
        ("kms:CreateKey", {"StringEquals": {"aws:RequestTag/team": "x"}}),
    ],
    ids=str,
)
def test_conditions_on_replicating(three_regions: RunningServer, east: KMSClient, action: str, condition: Json) -> None:
    key_id = new_primary(east)
    _, kms, _ = user(three_regions, allow(do="kms:*"), deny(do=action, when=condition))
    refusal = error_of(kms.replicate_key, KeyId=key_id, ReplicaRegion=WEST, Tags=TAGS)
    assert refusal["Code"] == "AccessDeniedException"
    assert f"is not authorized to perform: {action} " in refusal["Message"]
    assert refusal["Message"].endswith("with an explicit deny in an identity-based policy")


def test_the_replica_region_limits_replicating_and_nothing_else(three_regions: RunningServer, east: KMSClient) -> None:
    key_id = new_primary(east)
    elsewhere = {"StringNotEquals": {"kms:ReplicaRegion": WEST}}
    _, kms, _ = user(three_regions, allow(do="kms:*"), deny(do="kms:ReplicateKey", when=elsewhere))
    assert error_code_of(kms.replicate_key, KeyId=key_id, ReplicaRegion=SOUTH) == "AccessDeniedException"
    kms.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
    named = {"Null": {"kms:ReplicaRegion": "false"}}
    _, kms, _ = user(three_regions, allow(do="kms:*"), deny(do="kms:CreateKey", when=named))
    kms.replicate_key(KeyId=key_id, ReplicaRegion=SOUTH)


def test_a_policy_can_tell_primaries_from_replicas(three_regions: RunningServer, east: KMSClient) -> None:
    key_id = new_primary(east)
    east.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
    replicas = {"StringEquals": {"kms:MultiRegionKeyType": "REPLICA"}}
    _, here, there = user(three_regions, allow(do="kms:DescribeKey", when=replicas))
    there.describe_key(KeyId=key_id)
    assert error_code_of(here.describe_key, KeyId=key_id) == "AccessDeniedException"
    east.update_primary_region(KeyId=key_id, PrimaryRegion=WEST)
    here.describe_key(KeyId=key_id)
    assert error_code_of(there.describe_key, KeyId=key_id) == "AccessDeniedException"


@pytest.mark.parametrize(
    ("denied", "where"),
    [
        (deny(do="kms:UpdatePrimaryRegion", on=arn(EAST, "*")), EAST),
        (deny(do="kms:UpdatePrimaryRegion", on=arn(WEST, "*")), WEST),
        (deny(do="kms:UpdatePrimaryRegion", when=ELSEWHERE), WEST),
        (deny(do="kms:UpdatePrimaryRegion", when={"StringEquals": {"kms:PrimaryRegion": WEST}}), EAST),
        (deny(do="kms:UpdatePrimaryRegion", when={"StringEquals": {"kms:MultiRegionKeyType": "REPLICA"}}), WEST),
    ],
    ids=["old primary", "new primary", "Region of the new primary", "kms:PrimaryRegion", "kms:MultiRegionKeyType"],
)
def test_moving_the_primary_needs_permission_on_both_keys(
    three_regions: RunningServer, east: KMSClient, denied: Json, where: str
) -> None:
    key_id = new_primary(east)
    east.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
    _, kms, _ = user(three_regions, allow(do="kms:*"), denied)
    refusal = error_of(kms.update_primary_region, KeyId=key_id, PrimaryRegion=WEST)
    assert refusal["Code"] == "AccessDeniedException"
    assert f"kms:UpdatePrimaryRegion on resource: {arn(where, key_id)} " in refusal["Message"]
    _, kms, _ = user(three_regions, allow(do="kms:UpdatePrimaryRegion"))
    kms.update_primary_region(KeyId=key_id, PrimaryRegion=WEST)


def test_a_grant_permits_the_use_of_one_related_key(three_regions: RunningServer, east: KMSClient) -> None:
    key_id = new_primary(east)
    east.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
    grantee, here, there = user(three_regions)
    grant = east.create_grant(KeyId=key_id, GranteePrincipal=grantee, Operations=["Encrypt"])
    here.encrypt(KeyId=key_id, Plaintext=b"x")
    assert error_code_of(there.encrypt, KeyId=key_id, Plaintext=b"x") == "AccessDeniedException"
    tokens = [grant["GrantToken"]]
    assert error_code_of(there.encrypt, KeyId=key_id, Plaintext=b"x", GrantTokens=tokens) == "AccessDeniedException"


def test_replicating_is_recorded_in_both_regions(three_regions: RunningServer, east: KMSClient) -> None:
    key_id = new_primary(east)
    answer = east.replicate_key(KeyId=key_id, ReplicaRegion=WEST, Description="second")
    (replicated,) = records(three_regions, "ReplicateKey", key_id)
    assert (replicated["awsRegion"], replicated["readOnly"]) == (EAST, False)
    assert replicated["requestParameters"] == {"keyId": key_id, "replicaRegion": WEST, "description": "second"}
    assert [each["ARN"] for each in replicated["resources"]] == [arn(EAST, key_id)]
    elements = replicated["responseElements"]
    assert elements["replicaPolicy"] == answer["ReplicaPolicy"]
    assert "replicaTags" not in elements
    assert elements["replicaKeyMetadata"]["multiRegionConfiguration"] == {
        "multiRegionKeyType": "REPLICA",
        "primaryKey": {"arn": arn(EAST, key_id), "region": EAST},
        "replicaKeys": [{"arn": arn(WEST, key_id), "region": WEST}],
    }
    _, created = records(three_regions, "CreateKey", key_id)
    assert (created["awsRegion"], created["eventType"]) == (WEST, "AwsApiCall")
    assert created["requestID"] == replicated["requestID"]
    assert created["eventID"] != replicated["eventID"]
    assert created["userIdentity"] == replicated["userIdentity"] | {"invokedBy": "kms.amazonaws.com"}
    assert created["responseElements"]["keyMetadata"] == elements["replicaKeyMetadata"]
    assert [each["ARN"] for each in created["resources"]] == [arn(WEST, key_id)]


def test_a_refused_replication_is_recorded_where_it_was_asked_for(
    three_regions: RunningServer, east: KMSClient
) -> None:
    key_id = new_primary(east)
    assert error_code_of(east.replicate_key, KeyId=key_id, ReplicaRegion=EAST) == "AlreadyExistsException"
    (record,) = records(three_regions, "ReplicateKey", key_id)
    assert (record["errorCode"], record["responseElements"]) == ("AlreadyExistsException", None)
    assert len(records(three_regions, "CreateKey", key_id)) == 1


def test_moving_the_primary_is_recorded_in_both_regions(three_regions: RunningServer, east: KMSClient) -> None:
    key_id = new_primary(east)
    east.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
    east.update_primary_region(KeyId=key_id, PrimaryRegion=WEST)
    here, there = records(three_regions, "UpdatePrimaryRegion", key_id)
    assert [each["awsRegion"] for each in (here, there)] == [EAST, WEST]
    assert here["requestParameters"] == {"keyId": key_id, "primaryRegion": WEST}
    assert there["requestParameters"] == {"keyId": arn(WEST, key_id), "primaryRegion": WEST}
    assert here["responseElements"] is there["responseElements"] is None
    assert [each["ARN"] for each in here["resources"]] == [arn(EAST, key_id)]
    assert "invokedBy" not in here["userIdentity"]
    assert there["userIdentity"]["invokedBy"] == "kms.amazonaws.com"
    assert here["requestID"] == there["requestID"]


def test_synchronizing_is_recorded_only_if_there_are_replicas(three_regions: RunningServer, east: KMSClient) -> None:
    key_id = new_primary(east)
    east.rotate_key_on_demand(KeyId=key_id)
    assert records(three_regions, "SynchronizeMultiRegionKey", key_id) == []
    east.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
    east.enable_key_rotation(KeyId=key_id)
    (record,) = records(three_regions, "SynchronizeMultiRegionKey", key_id)
    for name in ("eventID", "requestID", "eventTime", "eventVersion"):
        assert record.pop(name)
    assert record == {
        "userIdentity": {"type": "AWSAccount", "accountId": ACCOUNT, "invokedBy": "AWS Internal"},
        "eventSource": "kms.amazonaws.com",
        "eventName": "SynchronizeMultiRegionKey",
        "awsRegion": EAST,
        "sourceIPAddress": "AWS Internal",
        "userAgent": "AWS Internal",
        "requestParameters": None,
        "responseElements": None,
        "readOnly": False,
        "resources": [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": arn(EAST, key_id)}],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
    }
    assert error_code_of(east.enable_key_rotation, KeyId=key_id, RotationPeriodInDays=1) == "ValidationException"
    assert len(records(three_regions, "SynchronizeMultiRegionKey", key_id)) == 1
