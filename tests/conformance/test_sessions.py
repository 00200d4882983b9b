"""Sessions of roles: their limits, their tags, and their end."""

import base64
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials
from mypy_boto3_iam.client import IAMClient
from mypy_boto3_kms.client import KMSClient

from accounts import data_of, last_record
from client_errors import error_of, error_with_status
from clients import client_with, credentials_of
from identities import ACCOUNT, Identities, Person, new_name, trusts
from local_server import RunningServer, running_server
from policies import Json, allow, deny, document
from sessions import SessionClients, assume, credentials_in
from written_data import written_data

UNKNOWN = "The security token included in the request is invalid."


class Job:
    """A role with every right of KMS, and a user it trusts."""

    def __init__(self, server: RunningServer, identities: Identities) -> None:
        self.server = server
        self.iam = identities.iam
        self.user: Person = identities.user()
        self.name = new_name("role")
        self.arn: str = self.role(self.name, self.user.arn)
        self.allow(allow())

    def role(self, name: str, *trusted: str) -> str:
        """Return the ARN of a new role that can be assumed, with tags and with a source identity."""
        actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
        trust = document({**trusts(*trusted), "Action": actions})
        arn: str = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        return arn

    def allow(self, *statements: Json) -> None:
        """Replace the role's policy."""
        self.iam.put_role_policy(RoleName=self.name, PolicyName="own", PolicyDocument=document(*statements))

    def session(self, **more: Any) -> SessionClients:
        """Return a session of the role."""
        return SessionClients(self.server, assume(self.user.sts, self.arn, **more))


@pytest.fixture
def job(server: RunningServer, identities: Identities) -> Job:
    return Job(server, identities)


# --- what limits a session


def test_a_session_has_the_rights_of_its_role_as_they_are_now(job: Job, key_id: str) -> None:
    session = job.session()
    session.kms.encrypt(KeyId=key_id, Plaintext=b"x")
    job.allow(allow(do="kms:DescribeKey"))
    session.kms.describe_key(KeyId=key_id)
    refusal = error_of(session.kms.encrypt, KeyId=key_id, Plaintext=b"x")
    assert refusal["Message"].startswith(f"User: arn:aws:sts::{ACCOUNT}:assumed-role/{job.name}/job is not authorized")
    assert refusal["Message"].endswith("because no identity-based policy allows the kms:Encrypt action")
    job.allow(allow(), deny(do="kms:DescribeKey"))
    assert error_of(session.kms.describe_key, KeyId=key_id)["Message"].endswith(
        "with an explicit deny in an identity-based policy"
    )
    session.kms.encrypt(KeyId=key_id, Plaintext=b"x")


def test_session_policies_narrow(job: Job, identities: Identities, key_id: str) -> None:
    inline = job.session(Policy=document(allow(do="kms:Encrypt"), allow(do="iam:*")))
    inline.kms.encrypt(KeyId=key_id, Plaintext=b"x")
    by_arn = job.session(PolicyArns=[{"arn": identities.policy(allow(do="kms:Encrypt"))}])
    by_arn.kms.encrypt(KeyId=key_id, Plaintext=b"x")
    for session in (inline, by_arn):
        assert error_of(session.kms.describe_key, KeyId=key_id)["Message"].endswith(
            "because no session policy allows the kms:DescribeKey action"
        )
    # A session policy gives nothing that the role does not have.
    assert error_with_status(403, inline.iam.list_users)["Code"] == "AccessDenied"
    both = job.session(
        Policy=document(allow(do="kms:DescribeKey")), PolicyArns=[{"arn": identities.policy(deny(do="kms:Encrypt"))}]
    )
    both.kms.describe_key(KeyId=key_id)
    assert error_of(both.kms.encrypt, KeyId=key_id, Plaintext=b"x")["Message"].endswith(
        "with an explicit deny in a session policy"
    )


def test_the_boundary_of_the_role_limits_its_sessions(job: Job, identities: Identities, key_id: str) -> None:
    session = job.session()
    session.kms.encrypt(KeyId=key_id, Plaintext=b"x")
    boundary = identities.policy(allow(do="kms:DescribeKey"))
    job.iam.put_role_permissions_boundary(RoleName=job.name, PermissionsBoundary=boundary)
    session.kms.describe_key(KeyId=key_id)
    assert error_of(session.kms.encrypt, KeyId=key_id, Plaintext=b"x")["Message"].endswith(
        "because no permissions boundary allows the kms:Encrypt action"
    )


def test_a_managed_session_policy_limits_as_it_is_now(job: Job, identities: Identities, key_id: str) -> None:
    arn = identities.policy(allow(do="kms:Encrypt"))
    session = job.session(PolicyArns=[{"arn": arn}])
    job.iam.create_policy_version(
        PolicyArn=arn, PolicyDocument=document(allow(do="kms:DescribeKey")), SetAsDefault=True
    )
    session.kms.describe_key(KeyId=key_id)
    assert error_of(session.kms.encrypt, KeyId=key_id, Plaintext=b"x")["Code"] == "AccessDeniedException"


def test_session_policies_that_cannot_be(job: Job, identities: Identities) -> None:
    def refused(**more: Any) -> dict[str, str]:
        return error_with_status(400, job.user.sts.assume_role, RoleArn=job.arn, RoleSessionName="job", **more)

    assert refused(Policy="{")["Code"] == "MalformedPolicyDocument"
    assert refused(Policy=document(allow("*")))["Code"] == "MalformedPolicyDocument"
    for arn in (f"arn:aws:iam::{ACCOUNT}:policy/nothing", "arn:aws:iam::111122223333:policy/foreign"):
        assert refused(PolicyArns=[{"arn": arn}])["Code"] == "MalformedPolicyDocument"
    too_many = [{"arn": identities.policy(allow())}] * 11
    assert refused(PolicyArns=too_many)["Code"] == "ValidationError"


def test_how_much_of_the_room_is_used(job: Job) -> None:
    def assumed(**more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = job.user.sts.assume_role(RoleArn=job.arn, RoleSessionName="job", **more)
        return answer

    resource = "arn:aws:kms:*:*:key/"
    fits = document(allow(on=resource + "*" * (2048 - len(document(allow(on=resource))))))
    assert len(fits) == 2048
    assert assumed(Policy=fits)["PackedPolicySize"] == 100
    assert 0 < assumed(Tags=[{"Key": "a", "Value": "b"}])["PackedPolicySize"] < 10
    for more in (
        {"Policy": fits + " "},
        {"Tags": [{"Key": f"{number:0128}", "Value": "v" * 256} for number in range(11)]},
    ):
        refusal = error_with_status(400, job.user.sts.assume_role, RoleArn=job.arn, RoleSessionName="job", **more)
        assert refusal["Code"] == "PackedPolicyTooLarge"
        assert refusal["Message"].startswith("Packed policy consumes 10")


# --- what a session carries


def test_session_tags_override_the_roles_own(job: Job, kms: KMSClient) -> None:
    job.iam.tag_role(RoleName=job.name, Tags=[{"Key": "Team", "Value": "red"}, {"Key": "site", "Value": "north"}])
    tagged = {"StringEquals": {"aws:PrincipalTag/team": "blue", "aws:PrincipalTag/site": "north"}}
    job.allow(allow(do="kms:DescribeKey", when=tagged))
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    job.session(Tags=[{"Key": "team", "Value": "blue"}]).kms.describe_key(KeyId=key_id)
    assert error_of(job.session().kms.describe_key, KeyId=key_id)["Code"] == "AccessDeniedException"


def test_tagging_a_session_is_a_permission_of_its_own(job: Job, iam: IAMClient) -> None:
    role = iam.create_role(RoleName=new_name("role"), AssumeRolePolicyDocument=document(trusts(job.user.arn)))["Role"]
    assume(job.user.sts, role["Arn"])
    for action, more in (
        ("sts:TagSession", {"Tags": [{"Key": "team", "Value": "blue"}]}),
        ("sts:SetSourceIdentity", {"SourceIdentity": "me"}),
    ):
        refusal = error_with_status(403, job.user.sts.assume_role, RoleArn=role["Arn"], RoleSessionName="job", **more)
        message = f"User: {job.user.arn} is not authorized to perform: {action} on resource: {role['Arn']}"
        assert refusal == {"Code": "AccessDenied", "Message": message}


def test_transitive_tags_go_along_the_chain(job: Job, key_id: str) -> None:
    second, third = (new_name("role") for _ in range(2))
    job.role(second, job.arn)
    job.role(third, f"arn:aws:iam::{ACCOUNT}:role/{second}")
    for name in (second, third):
        seen = {"StringEquals": {"aws:PrincipalTag/team": "blue"}, "Null": {"aws:PrincipalTag/once": "true"}}
        job.iam.put_role_policy(
            RoleName=name, PolicyName="own", PolicyDocument=document(allow(do="kms:DescribeKey", when=seen))
        )
    tags = [{"Key": "Team", "Value": "blue"}, {"Key": "once", "Value": "x"}]
    first = job.session(Tags=tags, TransitiveTagKeys=["team"])
    link = first
    for name in (second, third):
        link = SessionClients(job.server, assume(link.sts, f"arn:aws:iam::{ACCOUNT}:role/{name}"))
        link.kms.describe_key(KeyId=key_id)
    again = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{second}", "RoleSessionName": "job"}
    for value in ("blue", "red"):
        assert error_with_status(400, first.sts.assume_role, **again, Tags=[{"Key": "team", "Value": value}]) == {
            "Code": "InvalidParameterValue",
            "Message": "One of the specified transitive tag keys can't be set because it conflicts with a transitive "
            "tag key from the calling session.",
        }


def test_tags_that_cannot_be(job: Job) -> None:
    def refused(**more: Any) -> dict[str, str]:
        return error_with_status(400, job.user.sts.assume_role, RoleArn=job.arn, RoleSessionName="job", **more)

    assert refused(Tags=[{"Key": "a", "Value": "b"}], TransitiveTagKeys=["c"]) == {
        "Code": "InvalidParameterValue",
        "Message": "The specified transitive tag key must be included in the requested tags.",
    }
    assert refused(Tags=[{"Key": "a", "Value": "b"}, {"Key": "A", "Value": "c"}]) == {
        "Code": "InvalidParameterValue",
        "Message": "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
    }
    for character in "&#!\t":
        assert "pattern" in refused(Tags=[{"Key": f"a{character}", "Value": "b"}])["Message"]
        assert "pattern" in refused(TransitiveTagKeys=[f"a{character}"])["Message"]
    assert "aws:" in refused(Tags=[{"Key": "aws:a", "Value": "b"}])["Message"]


def test_a_source_identity_stays_for_the_whole_chain(job: Job, server: RunningServer, key_id: str) -> None:
    second = new_name("role")
    role = job.role(second, job.arn)
    known = {"StringEquals": {"aws:SourceIdentity": "alice"}}
    job.iam.put_role_policy(
        RoleName=second, PolicyName="own", PolicyDocument=document(allow(do="kms:DescribeKey", when=known))
    )
    first = job.session(SourceIdentity="alice")
    answer = first.sts.assume_role(RoleArn=role, RoleSessionName="job")
    assert answer["SourceIdentity"] == "alice"
    SessionClients(server, credentials_in(answer)).kms.describe_key(KeyId=key_id)
    assert last_record(server)["userIdentity"]["sessionContext"]["sourceIdentity"] == "alice"
    first.sts.assume_role(RoleArn=role, RoleSessionName="job", SourceIdentity="alice")
    refusal = error_with_status(400, first.sts.assume_role, RoleArn=role, RoleSessionName="job", SourceIdentity="bob")
    assert refusal == {
        "Code": "ValidationError",
        "Message": "The source identity is already set for this assume role session",
    }


def test_handing_on_a_source_identity_is_a_permission_too(job: Job, iam: IAMClient) -> None:
    role = iam.create_role(RoleName=new_name("role"), AssumeRolePolicyDocument=document(trusts(job.arn)))["Role"]["Arn"]
    assume(job.session().sts, role)
    first = job.session(SourceIdentity="alice")
    refusal = error_with_status(403, first.sts.assume_role, RoleArn=role, RoleSessionName="job")
    assert "is not authorized to perform: sts:SetSourceIdentity" in refusal["Message"]


def test_a_key_policy_means_the_role_or_one_session_of_it(job: Job, kms: KMSClient) -> None:
    job.allow(allow(do="kms:ListKeys"))
    one = f"arn:aws:sts::{ACCOUNT}:assumed-role/{job.name}/one"
    root = allow(f"arn:aws:iam::{ACCOUNT}:root")
    by_role = kms.create_key(Policy=document(root, allow(job.arn, do="kms:Encrypt")))["KeyMetadata"]["KeyId"]
    by_session = kms.create_key(Policy=document(root, allow(one, do="kms:Encrypt")))["KeyMetadata"]["KeyId"]
    named, other = (SessionClients(job.server, assume(job.user.sts, job.arn, name)) for name in ("one", "two"))
    for session in (named, other):
        session.kms.encrypt(KeyId=by_role, Plaintext=b"x")
    named.kms.encrypt(KeyId=by_session, Plaintext=b"x")
    assert error_of(other.kms.encrypt, KeyId=by_session, Plaintext=b"x")["Code"] == "AccessDeniedException"
    nothing = job.session(Policy=document(allow(do="kms:ListKeys")))
    assert error_of(nothing.kms.encrypt, KeyId=by_role, Plaintext=b"x")["Message"].endswith(
        "because no session policy allows the kms:Encrypt action"
    )


# --- what ends a session


def test_a_session_ends_with_its_role(job: Job, key_id: str) -> None:
    session = job.session()
    session.kms.describe_key(KeyId=key_id)
    job.iam.delete_role_policy(RoleName=job.name, PolicyName="own")
    job.iam.delete_role(RoleName=job.name)
    assert error_of(session.kms.describe_key, KeyId=key_id) == {
        "Code": "UnrecognizedClientException",
        "Message": UNKNOWN,
    }
    # A new role of that name is another one.
    job.role(job.name, job.user.arn)
    job.allow(allow())
    assert error_of(session.kms.describe_key, KeyId=key_id)["Code"] == "UnrecognizedClientException"
    assert error_with_status(403, session.sts.get_caller_identity) == {
        "Code": "InvalidClientTokenId",
        "Message": UNKNOWN,
    }


def test_a_session_goes_on_when_its_role_no_longer_trusts_who_made_it(job: Job, key_id: str) -> None:
    session = job.session()
    job.iam.update_assume_role_policy(
        RoleName=job.name, PolicyDocument=document({**trusts(job.user.arn), "Effect": "Deny"})
    )
    assert (
        error_with_status(403, job.user.sts.assume_role, RoleArn=job.arn, RoleSessionName="job")["Code"]
        == "AccessDenied"
    )
    session.kms.describe_key(KeyId=key_id)


def test_a_session_of_a_user_ends_with_the_user(server: RunningServer, identities: Identities) -> None:
    user = identities.user()
    session = SessionClients(server, credentials_in(user.sts.get_session_token()))
    session.sts.get_caller_identity()
    identities.iam.delete_access_key(UserName=user.name, AccessKeyId=user.access_key_id)
    session.sts.get_caller_identity()
    identities.iam.delete_user(UserName=user.name)
    assert error_with_status(403, session.sts.get_caller_identity)["Code"] == "InvalidClientTokenId"


def test_a_session_survives_a_restart(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", tmp_path / "log") as server:
        sts = client_with(server, "sts", credentials_of(server))
        session = credentials_in(sts.get_session_token())
        assert server.stop() == 0
    with running_server(tmp_path / "data", tmp_path / "log") as server:
        assert client_with(server, "sts", session).get_caller_identity()["Account"] == ACCOUNT
        assert server.stop() == 0


@pytest.mark.parametrize("change", ["missing", "another's", "altered", "cut", "garbage", "a key id"])
def test_key_and_token_belong_together(job: Job, change: str) -> None:
    session, other = job.session().credentials, job.session().credentials
    assert session.token is not None
    sealed = bytearray(base64.b64decode(session.token))
    sealed[-1] ^= 1
    tokens = {
        "missing": None,
        "another's": other.token,
        "altered": base64.b64encode(sealed).decode(),
        "cut": session.token[:-4],
        "garbage": "not a token",
        "a key id": session.access_key,
    }
    forged = SessionClients(job.server, Credentials(session.access_key, session.secret_key, tokens[change]))
    assert error_of(forged.kms.list_keys) == {"Code": "UnrecognizedClientException", "Message": UNKNOWN}
    assert error_with_status(403, forged.sts.get_caller_identity)["Code"] == "InvalidClientTokenId"


def test_a_token_is_worth_nothing_without_its_secret(job: Job) -> None:
    session, other = job.session().credentials, job.session().credentials
    forged = SessionClients(job.server, Credentials(session.access_key, other.secret_key, session.token))
    assert error_of(forged.kms.list_keys)["Code"] == "InvalidSignatureException"
    long_term = SessionClients(
        job.server, Credentials(job.user.access_key_id, job.user.credentials.secret_key, session.token)
    )
    assert error_of(long_term.kms.list_keys)["Code"] == "UnrecognizedClientException"


def test_nothing_of_a_session_is_written_anywhere(job: Job, key_id: str) -> None:
    session = job.session(Tags=[{"Key": "a", "Value": "b"}], Policy=document(allow()))
    session.kms.encrypt(KeyId=key_id, Plaintext=b"x")
    session.sts.get_caller_identity()
    token = session.credentials.token
    assert token is not None
    data = data_of(job.server)
    for name, content in written_data(data):
        for secret in (token.encode(), base64.b64decode(token)[17:65], session.credentials.secret_key.encode()):
            assert secret not in content, name
