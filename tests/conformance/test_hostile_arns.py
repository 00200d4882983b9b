"""ARNs that are malformed or name nothing: each call refuses them quickly, with an error of its service."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mypy_boto3_iam.client import IAMClient
from mypy_boto3_kms.client import KMSClient

from identities import ACCOUNT, ACCOUNT_ROOT, Identities, new_name
from local_server import RunningServer
from policies import allow, document
from query_requests import PATIENCE, query_body, query_error, unsigned_query

IAM, KMS = f"arn:aws:iam::{ACCOUNT}:", f"arn:aws:kms:us-east-1:{ACCOUNT}:"
HOSTILE = {
    "a name": "x" * 20,
    "colons": ":" * 2048,
    "the beginning, again and again": "arn:" * 512,
    "nothing after the account": IAM,
    "no role": f"{IAM}role/",
    "no user": f"{IAM}user/",
    "no policy": f"{IAM}policy/",
    "no key": f"{KMS}key/",
    "no alias": f"{KMS}alias/",
    "no account": "arn:aws:iam:::role/somebody",
    "another account": "arn:aws:iam::999999999999:role/x",
    "an account in another script": "arn:aws:iam::" + "\u0661" * 12 + ":role/x",
    "an account of superscripts": "\u00b2" * 20,
    "digits": "1" * 2048,
    "no policy of AWS's": "arn:aws:iam::aws:policy/Nothing",
    "a very long name": f"{IAM}role/{'a' * 2000}",
    "a path that goes up": f"{IAM}role/../../user/x",
    "slashes": f"{IAM}role{'/' * 2000}",
    "wildcards": f"{IAM}role/*",
    "wildcards everywhere": "arn:*:iam::*:role/*?*",
    "another case": f"{IAM}ROLE/X".upper(),
    "a session of nobody": f"arn:aws:sts::{ACCOUNT}:assumed-role/nobody/x",
    "a session of a session": f"arn:aws:sts::{ACCOUNT}:assumed-role/a/b/c/",
    "another prefix": f"urn:aws:iam::{ACCOUNT}:root",
    "another prefix of a role": f"urn:aws:iam::{ACCOUNT}:role/x",
    "a group": f"{IAM}group/nobody",
    "a device": f"{IAM}mfa/device",
    "an unknown kind": f"{IAM}nonsense/x",
    "a unique id of nobody": "AROA" + "A" * 16,
    "what XML minds": f"{IAM}role/<&>'\"]]>",
    "what SQL minds": f"{IAM}role/x' OR '1'='1' --",
    "what a shell minds": f"{IAM}role/$(reboot)`reboot`",
    "escapes": f"{IAM}role/%00%2e%2e%2f",
    "right to left": f"{IAM}role/\u202eelor",
    "lines": f"{IAM}role/x\r\nSet-Cookie: a=b",
    "a line separator": f"{IAM}role/\u2028",
    "beyond the first plane": f"{IAM}role/😀",
}

NO_POLICY = {"NoSuchEntity", "ValidationError"}
NOT_OURS = NO_POLICY | {"AccessDenied"}
NO_KEY = {"NotFoundException", "InvalidArnException"}
NO_PRINCIPAL = {"InvalidArnException", "ValidationException"}


class Caller:
    """What the calls below need to exist."""

    def __init__(self, iam: Any, kms: Any, identities: Identities) -> None:
        self.iam, self.kms = iam, kms
        self.key = kms.create_key()["KeyMetadata"]["KeyId"]
        self.user = identities.user(allow(do="*"))
        self.role = identities.role(self.user.arn)["Arn"]
        self.blob = kms.encrypt(KeyId=self.key, Plaintext=b"x")["CiphertextBlob"]


@pytest.fixture(scope="module")
def caller(iam: IAMClient, kms: KMSClient, identities: Identities) -> Caller:
    return Caller(iam, kms, identities)


Call = Callable[[Caller, str], Any]
TO_IAM: dict[str, tuple[set[str], Call]] = {
    "AttachUserPolicy": (NO_POLICY, lambda by, arn: by.iam.attach_user_policy(UserName=by.user.name, PolicyArn=arn)),
    "DetachUserPolicy": (NO_POLICY, lambda by, arn: by.iam.detach_user_policy(UserName=by.user.name, PolicyArn=arn)),
    "PutUserPermissionsBoundary": (
        NO_POLICY,
        lambda by, arn: by.iam.put_user_permissions_boundary(UserName=by.user.name, PermissionsBoundary=arn),
    ),
    "CreateUser": (NO_POLICY, lambda by, arn: by.iam.create_user(UserName=new_name("x"), PermissionsBoundary=arn)),
    "GetPolicy": (NO_POLICY, lambda by, arn: by.iam.get_policy(PolicyArn=arn)),
    "DeletePolicy": (NOT_OURS, lambda by, arn: by.iam.delete_policy(PolicyArn=arn)),
    "ListEntitiesForPolicy": (NO_POLICY, lambda by, arn: by.iam.list_entities_for_policy(PolicyArn=arn)),
    "TagPolicy": (NOT_OURS, lambda by, arn: by.iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "a", "Value": "b"}])),
    "CreatePolicyVersion": (
        NOT_OURS,
        lambda by, arn: by.iam.create_policy_version(PolicyArn=arn, PolicyDocument=document(allow())),
    ),
    "CreateRole": (
        {"MalformedPolicyDocument", "LimitExceeded"},
        lambda by, arn: by.iam.create_role(
            RoleName=new_name("x"), AssumeRolePolicyDocument=document(allow(arn, do="sts:AssumeRole", on=None))
        ),
    ),
    "SimulatePrincipalPolicy": (
        {"NoSuchEntity", "InvalidInput", "ValidationError"},
        lambda by, arn: by.iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=["kms:Encrypt"]),
    ),
    "AssumeRole": (
        {"AccessDenied", "ValidationError"},
        lambda by, arn: by.user.sts.assume_role(RoleArn=arn, RoleSessionName="me"),
    ),
    "AssumeRole with a session policy": (
        {"MalformedPolicyDocument", "ValidationError"},
        lambda by, arn: by.user.sts.assume_role(RoleArn=by.role, RoleSessionName="me", PolicyArns=[{"arn": arn}]),
    ),
}
TO_KMS: dict[str, tuple[set[str], Call]] = {
    "DescribeKey": (NO_KEY, lambda by, arn: by.kms.describe_key(KeyId=arn)),
    "Encrypt": (NO_KEY, lambda by, arn: by.kms.encrypt(KeyId=arn, Plaintext=b"x")),
    "Decrypt": (NO_KEY, lambda by, arn: by.kms.decrypt(KeyId=arn, CiphertextBlob=by.blob)),
    "ReEncrypt": (NO_KEY, lambda by, arn: by.kms.re_encrypt(DestinationKeyId=arn, CiphertextBlob=by.blob)),
    "ListAliases": (NO_KEY, lambda by, arn: by.kms.list_aliases(KeyId=arn)),
    "RetireGrant": (NO_KEY, lambda by, arn: by.kms.retire_grant(KeyId=arn, GrantId="0" * 64)),
    "CreateAlias": (
        NO_KEY | {"ValidationException"},
        lambda by, arn: by.kms.create_alias(AliasName=f"alias/{new_name('x')}", TargetKeyId=arn),
    ),
    "CreateGrant": (
        NO_PRINCIPAL,
        lambda by, arn: by.kms.create_grant(KeyId=by.key, GranteePrincipal=arn, Operations=["Encrypt"]),
    ),
    "CreateGrant to be retired": (
        NO_PRINCIPAL,
        lambda by, arn: by.kms.create_grant(
            KeyId=by.key, GranteePrincipal=ACCOUNT_ROOT, RetiringPrincipal=arn, Operations=["Encrypt"]
        ),
    ),
    "ListRetirableGrants": (NO_PRINCIPAL, lambda by, arn: by.kms.list_retirable_grants(RetiringPrincipal=arn)),
    "PutKeyPolicy": (
        {"MalformedPolicyDocumentException"},
        lambda by, arn: by.kms.put_key_policy(KeyId=by.key, Policy=document(allow(ACCOUNT_ROOT), allow(arn))),
    ),
}


def code(call: Call, by: Caller, arn: str) -> str:
    """Return the error code of a call; empty if it succeeds. The call must not be a server fault, and not take long."""
    started, refused = time.monotonic(), None
    try:
        call(by, arn)
    except ClientError as error:
        refused = error.response
    assert time.monotonic() - started < PATIENCE
    if refused is None:
        return ""
    assert 400 <= refused["ResponseMetadata"]["HTTPStatusCode"] < 500
    return refused["Error"]["Code"]


@pytest.mark.parametrize("case", HOSTILE)
def test_arns_of_nothing(caller: Caller, case: str) -> None:
    answers = {name: code(call, caller, HOSTILE[case]) for name, (_, call) in (TO_IAM | TO_KMS).items()}
    expected = {name: codes for name, (codes, _) in (TO_IAM | TO_KMS).items()}
    assert {name: answer for name, answer in answers.items() if answer not in expected[name]} == {}


@pytest.mark.parametrize("case", HOSTILE)
def test_arns_of_nothing_in_simulations(caller: Caller, case: str) -> None:
    arn, asked = HOSTILE[case], {"PolicyInputList": [document(allow())], "ActionNames": ["kms:Encrypt"]}
    answer = caller.iam.simulate_custom_policy(ResourceArns=[arn], **asked)
    assert answer["EvaluationResults"][0]["EvalResourceName"] == arn
    assert answer["EvaluationResults"][0]["EvalDecision"] == "allowed"
    simulate: Call = lambda by, arn: by.iam.simulate_custom_policy(CallerArn=arn, **asked)  # noqa: E731 - one use
    assert code(simulate, caller, arn) in {"", "InvalidInput"}


@pytest.mark.parametrize("case", HOSTILE)
def test_arns_of_nothing_from_unauthenticated_clients(server: RunningServer, case: str) -> None:
    fields = [("RoleArn", HOSTILE[case]), ("RoleSessionName", "me"), ("WebIdentityToken", "x.y.z")]
    status, error, _ = query_error(server, unsigned_query(query_body("sts", "AssumeRoleWithWebIdentity", fields)))
    assert status == 400
    assert error in {"InvalidIdentityToken", "ValidationError"}
