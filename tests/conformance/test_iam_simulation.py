"""The simulator's results, compared with real calls."""

from typing import Any

import pytest
from mypy_boto3_iam.client import IAMClient
from mypy_boto3_kms.client import KMSClient

from client_errors import error_of, error_with_status
from identities import ACCOUNT, Identities, Person, new_name
from policies import Json, allow, deny, document

KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ENCRYPT, DECRYPT = "kms:Encrypt", "kms:Decrypt"


def custom(iam: IAMClient, *statements: Json, **more: Any) -> list[Any]:
    asked = {"PolicyInputList": [document(*statements)], "ActionNames": [ENCRYPT]} | more
    answer: Any = iam.simulate_custom_policy(**asked)
    return list(answer["EvaluationResults"])


def entry(key: str, *values: str, kind: str = "string") -> Json:
    return {"ContextKeyName": key, "ContextKeyValues": list(values), "ContextKeyType": kind}


@pytest.mark.parametrize(
    ("statements", "decision", "matched"),
    [
        ([allow(do=ENCRYPT)], "allowed", ["PolicyInputList.1"]),
        ([allow(do=DECRYPT)], "implicitDeny", []),
        ([allow(do="*"), deny(do=ENCRYPT)], "explicitDeny", ["PolicyInputList.1"]),
        ([allow(do=ENCRYPT, on="arn:aws:kms:*:*:key/other")], "implicitDeny", []),
    ],
)
def test_policies_given_alone(iam: IAMClient, statements: list[Json], decision: str, matched: list[str]) -> None:
    (result,) = custom(iam, *statements, ResourceArns=[KEY])
    assert [each["SourcePolicyId"] for each in result.pop("MatchedStatements")] == matched
    assert result == {
        "EvalActionName": ENCRYPT,
        "EvalResourceName": KEY,
        "EvalDecision": decision,
        "MissingContextValues": [],
    }


def test_every_action_on_every_resource_in_pages(iam: IAMClient) -> None:
    other = KEY.replace("1234abcd", "5678abcd")
    asked: Any = {
        "PolicyInputList": [document(allow(do=ENCRYPT, on=KEY)), document(allow(do=DECRYPT, on=other))],
        "ActionNames": [ENCRYPT, DECRYPT],
        "ResourceArns": [KEY, other],
    }
    paginator = iam.get_paginator("simulate_custom_policy")
    pages = list(paginator.paginate(**asked, PaginationConfig={"PageSize": 3}))
    assert [len(page["EvaluationResults"]) for page in pages] == [3, 1]
    results = {
        (each["EvalActionName"], each["EvalResourceName"]): each for page in pages for each in page["EvaluationResults"]
    }
    yes = {
        pair: each["MatchedStatements"][0]["SourcePolicyId"]
        for pair, each in results.items()
        if each["MatchedStatements"]
    }
    assert yes == {(ENCRYPT, KEY): "PolicyInputList.1", (DECRYPT, other): "PolicyInputList.2"}
    assert {pair for pair, each in results.items() if each["EvalDecision"] == "allowed"} == set(yes)


def test_values_that_are_missing_are_named(iam: IAMClient) -> None:
    condition = {
        "StringEquals": {"kms:EncryptionContext:tenant": "red"},
        "IpAddress": {"aws:SourceIp": "10.0.0.0/8"},
    }
    tenant, address = entry("kms:EncryptionContext:tenant", "red"), entry("aws:sourceip", "10.1.2.3", kind="ip")
    for given, decision, missing in (
        ([], "implicitDeny", {"kms:encryptioncontext:tenant"}),
        ([tenant], "implicitDeny", {"aws:sourceip"}),
        ([tenant, address], "allowed", set()),
        ([tenant, entry("aws:SourceIp", "192.0.2.1", kind="ip")], "implicitDeny", set()),
    ):
        (result,) = custom(iam, allow(do=ENCRYPT, when=condition), ContextEntries=given)
        assert result["EvalDecision"] == decision
        found = {name.lower() for name in result["MissingContextValues"]}
        assert missing <= found <= {"kms:encryptioncontext:tenant", "aws:sourceip"}


def test_a_boundary_and_a_resource_policy_count(iam: IAMClient) -> None:
    limits = [document(allow(do=DECRYPT))]
    encrypt, decrypt = custom(
        iam,
        allow(do="kms:*"),
        ActionNames=[ENCRYPT, DECRYPT],
        PermissionsBoundaryPolicyInputList=limits,
    )
    assert [encrypt["EvalDecision"], decrypt["EvalDecision"]] == ["implicitDeny", "allowed"]
    detail = "PermissionsBoundaryDecisionDetail"
    assert encrypt[detail] == {"AllowedByPermissionsBoundary": False}
    assert decrypt[detail] == {"AllowedByPermissionsBoundary": True}
    alice = f"arn:aws:iam::{ACCOUNT}:user/alice"
    for policy, decision in (
        (allow(f"arn:aws:iam::{ACCOUNT}:root"), "allowed"),
        (allow(alice, do=DECRYPT), "implicitDeny"),
        (deny(alice), "explicitDeny"),
    ):
        more = {"ResourceArns": [KEY], "CallerArn": alice, "ResourcePolicy": document(policy)}
        (result,) = custom(iam, allow(do=ENCRYPT), **more)
        assert result["EvalDecision"] == decision


def test_what_cannot_be_simulated(iam: IAMClient) -> None:
    malformed = {"PolicyInputList": ["{"], "ActionNames": [ENCRYPT]}
    assert error_of(iam.simulate_custom_policy, **malformed)["Code"] == "MalformedPolicyDocument"
    assert error_of(iam.simulate_custom_policy, PolicyInputList=[], ActionNames=["x"])["Code"] == "ValidationError"
    for source in (f"arn:aws:iam::{ACCOUNT}:user/nobody", "arn:aws:iam::999999999999:user/alice"):
        refusal = error_with_status(404, iam.simulate_principal_policy, PolicySourceArn=source, ActionNames=[ENCRYPT])
        assert refusal["Code"] == "NoSuchEntity"
    nonsense = {"PolicySourceArn": "x" * 20, "ActionNames": [ENCRYPT]}
    assert error_of(iam.simulate_principal_policy, **nonsense)["Code"] in {"InvalidInput", "ValidationError"}


def happens(user: Person, key: str, context: dict[str, str]) -> str:
    """Make the call, and return its outcome in the simulator's terms."""
    try:
        user.kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=context)
    except user.kms.exceptions.ClientError as error:
        refusal: str = error.response["Error"]["Message"]
        return "explicitDeny" if "with an explicit deny" in refusal else "implicitDeny"
    return "allowed"


def test_it_agrees_with_what_happens(iam: IAMClient, kms: KMSClient, identities: Identities) -> None:
    """Each user under each key policy, with and without an encryption context."""
    in_group = identities.user()
    iam.add_user_to_group(UserName=in_group.name, GroupName=identities.group(allow(do=ENCRYPT)))
    bound = identities.user(allow(do="kms:*"))
    limit = identities.policy(allow(do=DECRYPT))
    iam.put_user_permissions_boundary(UserName=bound.name, PermissionsBoundary=limit)
    red = {"StringEquals": {"kms:EncryptionContext:team": "red"}}
    users = [
        identities.user(),
        identities.user(allow(do=ENCRYPT)),
        identities.user(allow(do=ENCRYPT, when=red)),
        identities.user(allow(do="*"), deny(do=ENCRYPT, when=red)),
        in_group,
        bound,
    ]
    root = f"arn:aws:iam::{ACCOUNT}:root"
    policies = [
        document(allow(root)),
        document(allow(root), *(allow(user.arn, do=ENCRYPT) for user in users)),
        document(allow(root, do="kms:PutKeyPolicy")),
        document(allow(root), deny("*", do=ENCRYPT, when=red)),
    ]
    seen = set()
    for policy in policies:
        key = kms.create_key(Policy=policy)["KeyMetadata"]["Arn"]
        for context in ({}, {"team": "red"}):
            entries = [entry(f"kms:EncryptionContext:{name}", value) for name, value in context.items()]
            for user in users:
                asked: Any = {
                    "PolicySourceArn": user.arn,
                    "ActionNames": [ENCRYPT],
                    "ResourceArns": [key],
                    "ResourcePolicy": policy,
                    "ContextEntries": entries,
                }
                (result,) = iam.simulate_principal_policy(**asked)["EvaluationResults"]
                assert result["EvalDecision"] == happens(user, key, context)
                seen.add(result["EvalDecision"])
    assert seen == {"allowed", "implicitDeny", "explicitDeny"}


def test_what_a_group_or_role_would_be_allowed(iam: IAMClient, identities: Identities) -> None:
    group, role = identities.group(allow(do=ENCRYPT)), identities.role()
    iam.put_role_policy(RoleName=role["RoleName"], PolicyName="own", PolicyDocument=document(allow(do=DECRYPT)))
    for source, allowed in ((f"arn:aws:iam::{ACCOUNT}:group/{group}", ENCRYPT), (role["Arn"], DECRYPT)):
        answer = iam.simulate_principal_policy(PolicySourceArn=source, ActionNames=[ENCRYPT, DECRYPT])
        yes = [each["EvalActionName"] for each in answer["EvaluationResults"] if each["EvalDecision"] == "allowed"]
        assert yes == [allowed]
        more = document(allow(do="kms:*"))
        answer = iam.simulate_principal_policy(
            PolicySourceArn=source, ActionNames=[ENCRYPT, DECRYPT], PolicyInputList=[more]
        )
        assert {each["EvalDecision"] for each in answer["EvaluationResults"]} == {"allowed"}


# --- what a simulation discloses


def test_the_tags_of_the_simulated_caller_are_known_to_those_who_may_read_them(identities: Identities) -> None:
    tagged = identities.user()
    identities.iam.tag_user(UserName=tagged.name, Tags=[{"Key": "team", "Value": "red"}])
    role = identities.role()
    identities.iam.tag_role(RoleName=role["RoleName"], Tags=[{"Key": "team", "Value": "red"}])
    simulate = allow(do="iam:SimulateCustomPolicy")
    curious, reader = identities.user(simulate), identities.user(simulate, allow(do=["iam:GetUser", "iam:GetRole"]))
    red = document(allow(do=ENCRYPT, when={"StringEquals": {"aws:PrincipalTag/team": "red"}}))
    for caller in (tagged.arn, role["Arn"]):
        for person, decision in ((curious, "implicitDeny"), (reader, "allowed")):
            answer = person.iam.simulate_custom_policy(PolicyInputList=[red], ActionNames=[ENCRYPT], CallerArn=caller)
            assert answer["EvaluationResults"][0]["EvalDecision"] == decision


def test_a_group_is_found_by_its_whole_arn(identities: Identities) -> None:
    name = new_name("group")
    arn = identities.iam.create_group(GroupName=name, Path="/staff/")["Group"]["Arn"]
    identities.iam.put_group_policy(GroupName=name, PolicyName="p", PolicyDocument=document(allow(do=ENCRYPT)))
    (result,) = identities.iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=[ENCRYPT])[
        "EvaluationResults"
    ]
    assert result["EvalDecision"] == "allowed"
    for other in (arn.replace("/staff/", "/"), arn.replace("/staff/", "/other/")):
        refusal = error_with_status(
            404, identities.iam.simulate_principal_policy, PolicySourceArn=other, ActionNames=[ENCRYPT]
        )
        assert refusal["Code"] == "NoSuchEntity"


def test_a_context_key_is_given_once(iam: IAMClient) -> None:
    refusal = error_of(
        iam.simulate_custom_policy,
        PolicyInputList=[document(allow())],
        ActionNames=[ENCRYPT],
        ContextEntries=[entry("aws:SourceIp", "10.0.0.1", kind="ip"), entry("aws:sourceip", "10.0.0.2", kind="ip")],
    )
    assert refusal == {"Code": "InvalidInput", "Message": "The context key aws:sourceip is given more than once."}
