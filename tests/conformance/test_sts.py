"""GetCallerIdentity, GetSessionToken and AssumeRole: the caller's identity, and permissions to assume roles."""

import base64
import re
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from mypy_boto3_iam.client import IAMClient
from mypy_boto3_kms.client import KMSClient
from mypy_boto3_sts.client import STSClient

from accounts import Account, last_record
from client_errors import error_with_status
from clients import client_with, credentials_of
from identities import ACCOUNT, ACCOUNT_ROOT, Identities, new_name, trusts
from local_server import RunningServer
from policies import Json, allow, deny, document
from sessions import SessionClients, assume, credentials_in

ASSUME = allow(do="sts:AssumeRole")


@pytest.fixture(scope="module")
def sts(server: RunningServer) -> STSClient:
    return client_with(server, "sts", credentials_of(server))


def role_trusting(iam: IAMClient, *statements: Json, **more: Any) -> str:
    """Return the ARN of a new role with a trust policy."""
    made = iam.create_role(RoleName=new_name("role"), AssumeRolePolicyDocument=document(*statements), **more)
    return made["Role"]["Arn"]


def who(client: Any) -> dict[str, str]:
    answer = client.get_caller_identity()
    return {name: answer[name] for name in ("UserId", "Account", "Arn")}


def denied(caller: str, role: str, action: str = "sts:AssumeRole") -> dict[str, str]:
    message = f"User: {caller} is not authorized to perform: {action} on resource: {role}"
    return {"Code": "AccessDenied", "Message": message}


# --- who calls


def test_everyone_may_ask_who_they_are(server: RunningServer, sts: STSClient, identities: Identities) -> None:
    assert who(sts) == {"UserId": ACCOUNT, "Account": ACCOUNT, "Arn": ACCOUNT_ROOT}
    user = identities.user(deny(do="*"), path="/staff/")
    assert who(user.sts) == {"UserId": user.user_id, "Account": ACCOUNT, "Arn": user.arn}
    role = identities.role(user.arn, path="/jobs/")
    identities.iam.put_user_policy(UserName=user.name, PolicyName="own", PolicyDocument=document(ASSUME))
    session = SessionClients(server, assume(user.sts, role["Arn"], "nightly"))
    assert who(session.sts) == {
        "UserId": f"{role['RoleId']}:nightly",
        "Account": ACCOUNT,
        "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role['RoleName']}/nightly",
    }


def test_the_account_of_an_access_key(sts: STSClient, identities: Identities, away: Account) -> None:
    assert sts.get_access_key_info(AccessKeyId=identities.user().access_key_id)["Account"] == ACCOUNT
    assert sts.get_access_key_info(AccessKeyId=away.identities.user().access_key_id)["Account"] == away.account
    for unknown in ("AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE", "ASIA" + "7" * 16, "ASIA" + "1" * 16, "A" * 128):
        refused = error_with_status(400, sts.get_access_key_info, AccessKeyId=unknown)
        assert refused == {"Code": "ValidationError", "Message": "Access key is not valid."}


def test_the_account_of_a_temporary_access_key(sts: STSClient, identities: Identities, away: Account) -> None:
    """It is not stored, so its id alone tells the account; as for AWS's ids, whose layout it has."""
    for owner, account in ((identities, ACCOUNT), (away.identities, away.account)):
        user = owner.user()
        key_id = user.sts.get_session_token()["Credentials"]["AccessKeyId"]
        assert re.fullmatch("ASIA[A-Z2-7]{16}", key_id)
        assert sts.get_access_key_info(AccessKeyId=key_id)["Account"] == account
        decoded = int.from_bytes(base64.b32decode(key_id[4:])[:6])
        assert (decoded & 0x7FFFFFFFFF80) >> 7 == int(account)


# --- sessions of users and roots


def test_a_session_of_a_user_is_the_user(server: RunningServer, kms: KMSClient, identities: Identities) -> None:
    user = identities.user(allow(do="kms:DescribeKey"))
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    key = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{key_id}"
    session = SessionClients(server, credentials_in(user.sts.get_session_token()))
    assert re.fullmatch("ASIA[A-Z2-7]{16}", session.credentials.access_key)
    assert who(session.sts)["Arn"] == user.arn
    session.kms.describe_key(KeyId=key_id)
    assert error_with_status(400, session.kms.disable_key, KeyId=key_id)["Message"] == (
        f"User: {user.arn} is not authorized to perform: kms:DisableKey on resource: {key} "
        "because no identity-based policy allows the kms:DisableKey action"
    )
    identities.iam.delete_user_policy(UserName=user.name, PolicyName="own")
    assert error_with_status(400, session.kms.describe_key, KeyId=key_id)["Code"] == "AccessDeniedException"


def test_how_long_sessions_of_users_and_roots_last(sts: STSClient, identities: Identities) -> None:
    user = identities.user()
    assert lasting(user.sts.get_session_token()) == 12 * 3600
    assert lasting(user.sts.get_session_token(DurationSeconds=129_600)) == 129_600
    assert lasting(sts.get_session_token()) == 3600
    assert lasting(sts.get_session_token(DurationSeconds=7200)) == 3600
    assert lasting(sts.get_session_token(DurationSeconds=900)) == 900
    for seconds in (899, 129_601):
        assert error_with_status(400, user.sts.get_session_token, DurationSeconds=seconds)["Code"] == "ValidationError"


def lasting(answer: Any) -> int:
    """Return how long credentials last, to the minute that the test may take."""
    made_at = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    lasting: timedelta = answer["Credentials"]["Expiration"] - made_at
    return round(lasting.total_seconds() / 60) * 60


def test_a_session_gets_no_session_token(server: RunningServer, sts: STSClient) -> None:
    session = SessionClients(server, credentials_in(sts.get_session_token()))
    assert who(session.sts)["Arn"] == ACCOUNT_ROOT
    assert error_with_status(403, session.sts.get_session_token) == {
        "Code": "AccessDenied",
        "Message": "Cannot call GetSessionToken with session credentials",
    }


def test_a_token_is_at_least_as_long_as_asked(server: RunningServer, sts: STSClient) -> None:
    made = credentials_in(sts.get_session_token(MinimumSessionTokenSize=4096))
    assert made.token is not None
    assert len(made.token) >= 4096
    assert who(SessionClients(server, made).sts)["Arn"] == ACCOUNT_ROOT


# --- who may assume a role


def test_a_role_trusts_a_user(iam: IAMClient, identities: Identities) -> None:
    trusted, other = identities.user(), identities.user(ASSUME)
    role = role_trusting(iam, trusts(trusted.arn))
    answer = trusted.sts.assume_role(RoleArn=role, RoleSessionName="a-b.c@d,e=f")
    assert answer["AssumedRoleUser"]["Arn"].endswith("/a-b.c@d,e=f")
    assert "PackedPolicySize" not in answer
    assert error_with_status(403, other.sts.assume_role, RoleArn=role, RoleSessionName="job") == denied(other.arn, role)


def test_a_role_trusts_the_account_whose_policies_then_decide(iam: IAMClient, identities: Identities) -> None:
    role = role_trusting(iam, trusts(ACCOUNT_ROOT))
    without, with_policy = identities.user(), identities.user(allow(do="sts:AssumeRole", on=role))
    refused = identities.user(ASSUME, deny(do="sts:*", on=role))
    assume(with_policy.sts, role)
    assert error_with_status(403, without.sts.assume_role, RoleArn=role, RoleSessionName="job") == denied(
        without.arn, role
    )
    assert error_with_status(403, refused.sts.assume_role, RoleArn=role, RoleSessionName="job")["Message"] == (
        f"User: {refused.arn} is not authorized to perform: sts:AssumeRole on resource: {role} "
        "with an explicit deny in an identity-based policy"
    )


def test_a_role_that_is_not_there_is_refused_like_one_that_may_not_be_assumed(identities: Identities) -> None:
    user = identities.user(ASSUME)
    role = identities.role(path="/jobs/")
    for arn in (f"arn:aws:iam::{ACCOUNT}:role/{role['RoleName']}", f"arn:aws:iam::{ACCOUNT}:role/jobs/nobody"):
        assert error_with_status(403, user.sts.assume_role, RoleArn=arn, RoleSessionName="job") == denied(user.arn, arn)
    for arn in (user.arn, "arn:aws:iam::000000000000", f"arn:aws:s3::{ACCOUNT}:role/x"):
        refusal = error_with_status(400, user.sts.assume_role, RoleArn=arn, RoleSessionName="job")
        assert refusal == {"Code": "ValidationError", "Message": f"{arn} is invalid"}


def test_roots_assume_no_roles(sts: STSClient, identities: Identities) -> None:
    role = identities.role()["Arn"]
    assert error_with_status(403, sts.assume_role, RoleArn=role, RoleSessionName="job") == {
        "Code": "AccessDenied",
        "Message": "Roles may not be assumed by root accounts.",
    }


def test_an_external_id(iam: IAMClient, identities: Identities) -> None:
    user = identities.user()
    known = {"StringEquals": {"sts:ExternalId": "customer-42"}}
    role = role_trusting(iam, {**trusts(user.arn), "Condition": known})
    assume(user.sts, role, ExternalId="customer-42")
    for more in ({}, {"ExternalId": "customer-43"}):
        refusal = error_with_status(403, user.sts.assume_role, RoleArn=role, RoleSessionName="job", **more)
        assert refusal == denied(user.arn, role)


def test_the_name_of_the_session_can_be_required(iam: IAMClient, identities: Identities) -> None:
    user = identities.user()
    own_name = {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}
    role = role_trusting(iam, {**trusts(user.arn), "Condition": own_name})
    assume(user.sts, role, user.name)
    assert error_with_status(403, user.sts.assume_role, RoleArn=role, RoleSessionName="other") == denied(user.arn, role)


def test_across_accounts_both_sides_must_agree(iam: IAMClient, identities: Identities, away: Account) -> None:
    visitor = away.identities.user(ASSUME)
    silent = away.identities.user()
    role = role_trusting(iam, trusts(visitor.arn, silent.arn))
    assume(visitor.sts, role)
    assert error_with_status(403, silent.sts.assume_role, RoleArn=role, RoleSessionName="job") == denied(
        silent.arn, role
    )
    closed = role_trusting(iam, trusts(ACCOUNT_ROOT))
    refusal = error_with_status(403, visitor.sts.assume_role, RoleArn=closed, RoleSessionName="job")
    assert refusal == denied(visitor.arn, closed)
    open_to_account = role_trusting(iam, trusts(away.root))
    assume(visitor.sts, open_to_account)
    local = identities.user(ASSUME)
    refusal = error_with_status(403, local.sts.assume_role, RoleArn=open_to_account, RoleSessionName="job")
    assert refusal == denied(local.arn, open_to_account)


# --- for how long


def test_how_long_sessions_of_roles_last(iam: IAMClient, identities: Identities) -> None:
    user = identities.user()
    role = role_trusting(iam, trusts(user.arn), MaxSessionDuration=7200)
    assert lasting(user.sts.assume_role(RoleArn=role, RoleSessionName="job")) == 3600
    assert lasting(user.sts.assume_role(RoleArn=role, RoleSessionName="job", DurationSeconds=7200)) == 7200
    refusal = error_with_status(400, user.sts.assume_role, RoleArn=role, RoleSessionName="job", DurationSeconds=7201)
    assert refusal == {
        "Code": "ValidationError",
        "Message": "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    }


def test_a_chain_of_roles_lasts_an_hour_at_most(server: RunningServer, iam: IAMClient, identities: Identities) -> None:
    user = identities.user()
    first = role_trusting(iam, trusts(user.arn), MaxSessionDuration=43_200)
    second = role_trusting(iam, trusts(first, user.arn), MaxSessionDuration=43_200)
    link = SessionClients(server, assume(user.sts, first))
    assert lasting(link.sts.assume_role(RoleArn=second, RoleSessionName="job", DurationSeconds=3600)) == 3600
    refusal = error_with_status(400, link.sts.assume_role, RoleArn=second, RoleSessionName="job", DurationSeconds=3601)
    assert refusal == {
        "Code": "ValidationError",
        "Message": "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
    }
    # As on AWS, credentials of GetSessionToken count as a link of the chain.
    own = SessionClients(server, credentials_in(user.sts.get_session_token()))
    assert lasting(own.sts.assume_role(RoleArn=second, RoleSessionName="job")) == 3600
    longer = {"RoleArn": second, "RoleSessionName": "job", "DurationSeconds": 3601}
    assert error_with_status(400, own.sts.assume_role, **longer) == refusal


# --- what the audit log records


def test_the_record_of_an_assumed_role(server: RunningServer, iam: IAMClient, identities: Identities) -> None:
    user = identities.user()
    role = role_trusting(iam, trusts(user.arn), {**trusts(user.arn), "Action": ["sts:SetSourceIdentity"]})
    answer = user.sts.assume_role(RoleArn=role, RoleSessionName="job", SourceIdentity="me", ExternalId="ex")
    record = last_record(server)
    assert record["eventSource"] == "sts.amazonaws.com"
    assert record["userIdentity"] == {
        "type": "IAMUser",
        "principalId": user.user_id,
        "arn": user.arn,
        "accountId": ACCOUNT,
        "accessKeyId": user.access_key_id,
        "userName": user.name,
    }
    assert record["requestParameters"] == {
        "roleArn": role,
        "roleSessionName": "job",
        "externalId": "ex",
        "sourceIdentity": "me",
    }
    assert record["responseElements"] == {
        "credentials": {
            "accessKeyId": answer["Credentials"]["AccessKeyId"],
            "expiration": answer["Credentials"]["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
        "assumedRoleUser": {
            "assumedRoleId": answer["AssumedRoleUser"]["AssumedRoleId"],
            "arn": answer["AssumedRoleUser"]["Arn"],
        },
        "sourceIdentity": "me",
    }
    assert record["resources"] == [{"accountId": ACCOUNT, "type": "AWS::IAM::Role", "ARN": role}]
    assert record["recipientAccountId"] == ACCOUNT
