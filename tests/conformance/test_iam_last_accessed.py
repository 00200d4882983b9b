"""Reports on when users, groups, roles and policies were last used, and when a role was."""

import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from botocore.credentials import Credentials
from mypy_boto3_iam.client import IAMClient

from client_errors import error_of, error_with_status
from clients import client_with, response_members
from identities import ACCOUNT, Identities, Person
from local_server import RunningServer
from policies import allow

AWS_POLICY = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
KMS, STS = "AWS Key Management Service", "AWS Security Token Service"


class Team(msgspec.Struct, frozen=True):
    """Two users in a group, one without any policy, a role and a policy.

    The first user has called STS, the second KMS, the one without a policy and the role KMS too.
    """

    one: Person
    two: Person
    powerless: Person
    group: str
    role: Any
    policy: str
    began: float


def report(iam: IAMClient, arn: str) -> list[Any]:
    """Return the services of a report."""
    job = iam.generate_service_last_accessed_details(Arn=arn)["JobId"]
    return list(iam.get_service_last_accessed_details(JobId=job)["ServicesLastAccessed"])


def entities(iam: IAMClient, arn: str, service: str) -> list[Any]:
    """Return the entities of a report."""
    job = iam.generate_service_last_accessed_details(Arn=arn)["JobId"]
    found = iam.get_service_last_accessed_details_with_entities(JobId=job, ServiceNamespace=service)
    return list(found["EntityDetailsList"])


def used(service: dict[str, Any]) -> tuple[str, str | None, int]:
    """Return a service's namespace, who used it last, and how many did."""
    return service["ServiceNamespace"], service.get("LastAuthenticatedEntity"), service["TotalAuthenticatedEntities"]


def group_arn(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:group/{name}"


@pytest.fixture(scope="module")
def team(server: RunningServer, iam: IAMClient, identities: Identities) -> Team:
    began = time.time()  # noqa: TID251 - a client
    policy = identities.policy(allow(do=["kms:ListKeys", "sts:*"]))
    group = identities.group(allow(do="kms:ListKeys"))
    iam.attach_group_policy(GroupName=group, PolicyArn=policy)
    one, two = identities.user(), identities.user(allow(do="iam:GetUser"))
    for each in (one, two):
        iam.add_user_to_group(UserName=each.name, GroupName=group)
    role = identities.role("*", path="/teams/")
    iam.attach_role_policy(RoleName=role["RoleName"], PolicyArn=policy)
    key = one.sts.assume_role(RoleArn=role["Arn"], RoleSessionName="session")["Credentials"]
    session = Credentials(key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"])
    client_with(server, "kms", session, "eu-west-1").list_keys()
    two.kms.list_keys()
    powerless = identities.user()
    assert report(iam, powerless.arn) == []
    assert error_of(powerless.kms.list_keys)["Code"] == "AccessDeniedException"
    team = Team(one, two, powerless, group, role, policy, began)
    waiting = {one.arn: "sts", two.arn: "kms", role["Arn"]: "kms", powerless.arn: "kms"}
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not all(
        (service, arn, 1) in map(used, report(iam, arn)) for arn, service in waiting.items()
    ):
        time.sleep(0.1)
    return team


def test_a_user_used_what_its_policies_allow(iam: IAMClient, team: Team) -> None:
    kms, sts = report(iam, team.one.arn)
    assert kms == {"ServiceName": KMS, "ServiceNamespace": "kms", "TotalAuthenticatedEntities": 0}
    assert abs(sts.pop("LastAuthenticated").timestamp() - team.began) < 60
    assert sts == {
        "ServiceName": STS,
        "ServiceNamespace": "sts",
        "LastAuthenticatedEntity": team.one.arn,
        "LastAuthenticatedRegion": "us-east-1",
        "TotalAuthenticatedEntities": 1,
    }
    assert [used(each) for each in report(iam, team.two.arn)] == [
        ("iam", None, 0),
        ("kms", team.two.arn, 1),
        ("sts", None, 0),
    ]


def test_a_user_without_policies_used_what_it_tried(iam: IAMClient, team: Team) -> None:
    assert [used(each) for each in report(iam, team.powerless.arn)] == [("kms", team.powerless.arn, 1)]


def test_a_role_was_used_by_its_sessions(iam: IAMClient, team: Team) -> None:
    arn = team.role["Arn"]
    kms, sts = report(iam, arn)
    assert used(kms) == ("kms", arn, 1)
    assert kms["LastAuthenticatedRegion"] == "eu-west-1"
    assert used(sts) == ("sts", None, 0)


def test_a_role_shows_its_last_use(iam: IAMClient, identities: Identities, team: Team) -> None:
    name = team.role["RoleName"]
    last: Any = iam.get_role(RoleName=name)["Role"]["RoleLastUsed"]
    assert last["Region"] == "eu-west-1"
    assert abs(last["LastUsedDate"].timestamp() - team.began) < 60
    details = iam.get_paginator("get_account_authorization_details").paginate(Filter=["Role"]).search("RoleDetailList")
    assert [each["RoleLastUsed"] for each in details if each["RoleName"] == name] == [last]
    assert iam.update_role_description(RoleName=name, Description="d")["Role"]["RoleLastUsed"] == last
    unused = identities.role()["RoleName"]
    assert iam.get_role(RoleName=unused)["Role"]["RoleLastUsed"] == {}


def test_a_group_was_used_by_its_members(iam: IAMClient, team: Team) -> None:
    kms, sts = report(iam, group_arn(team.group))
    assert used(kms) == ("kms", team.two.arn, 1)
    assert used(sts) == ("sts", team.one.arn, 1)
    found = entities(iam, group_arn(team.group), "kms")
    assert [each["EntityInfo"]["Arn"] for each in found] == [team.two.arn, team.one.arn]
    assert ["LastAuthenticated" in each for each in found] == [True, False]
    # Its policies allow nothing of IAM.
    assert entities(iam, group_arn(team.group), "iam") == []
    assert entities(iam, group_arn(team.group), "s3") == []


def test_a_policy_was_used_by_those_that_have_it(iam: IAMClient, team: Team) -> None:
    kms, _ = report(iam, team.policy)
    assert (kms["TotalAuthenticatedEntities"], kms["LastAuthenticatedEntity"]) == (2, team.two.arn)
    two, role, one = entities(iam, team.policy, "kms")
    assert two["EntityInfo"]["Arn"] == team.two.arn
    assert role["EntityInfo"] == {
        "Arn": team.role["Arn"],
        "Name": team.role["RoleName"],
        "Type": "ROLE",
        "Id": team.role["RoleId"],
        "Path": "/teams/",
    }
    assert one == {
        "EntityInfo": {
            "Arn": team.one.arn,
            "Name": team.one.name,
            "Type": "USER",
            "Id": team.one.user_id,
            "Path": "/",
        }
    }


def test_an_aws_managed_policy_and_one_that_is_only_a_boundary(iam: IAMClient, identities: Identities) -> None:
    user = identities.user()
    assert [each["EntityInfo"]["Name"] for each in entities(iam, AWS_POLICY, "iam")] == []
    iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=AWS_POLICY)
    assert entities(iam, AWS_POLICY, "iam") == []
    iam.attach_user_policy(UserName=user.name, PolicyArn=AWS_POLICY)
    assert [each["EntityInfo"]["Name"] for each in entities(iam, AWS_POLICY, "iam")] == [user.name]
    assert [used(each)[0] for each in report(iam, AWS_POLICY)] == ["iam"]
    iam.detach_user_policy(UserName=user.name, PolicyArn=AWS_POLICY)


def test_a_job_is_complete_and_has_one_id_for_each_subject_and_granularity(iam: IAMClient, team: Team) -> None:
    subject: dict[str, Any] = {"Arn": team.one.arn}
    job = iam.generate_service_last_accessed_details(**subject)["JobId"]
    assert len(job) == 36
    answer = response_members(iam.get_service_last_accessed_details(JobId=job))
    assert (answer["JobStatus"], answer["JobType"], answer["IsTruncated"]) == ("COMPLETED", "SERVICE_LEVEL", False)
    assert answer["JobCompletionDate"] == answer["JobCreationDate"]
    assert abs((datetime.now(UTC) - answer["JobCreationDate"]).total_seconds()) < 60  # noqa: TID251 - a client
    assert iam.generate_service_last_accessed_details(**subject)["JobId"] == job
    finer = iam.generate_service_last_accessed_details(**subject, Granularity="ACTION_LEVEL")["JobId"]
    assert finer != job
    details = iam.get_service_last_accessed_details(JobId=finer)
    assert details["JobType"] == "ACTION_LEVEL"
    assert details["ServicesLastAccessed"] == answer["ServicesLastAccessed"]


def test_reports_come_in_pages(iam: IAMClient, team: Team) -> None:
    job = iam.generate_service_last_accessed_details(Arn=team.policy)["JobId"]
    services: Any = iam.get_service_last_accessed_details(JobId=job, MaxItems=1)
    assert (services["IsTruncated"], used(services["ServicesLastAccessed"][0])[0]) == (True, "kms")
    rest = iam.get_service_last_accessed_details(JobId=job, MaxItems=1, Marker=services["Marker"])
    assert (rest["IsTruncated"], used(dict(rest["ServicesLastAccessed"][0]))[0]) == (False, "sts")
    names: list[str] = []
    marker: dict[str, str] = {}
    while True:
        page: Any = iam.get_service_last_accessed_details_with_entities(
            JobId=job, ServiceNamespace="kms", MaxItems=1, **marker
        )
        names += [each["EntityInfo"]["Name"] for each in page["EntityDetailsList"]]
        if not page["IsTruncated"]:
            break
        marker = {"Marker": page["Marker"]}
    assert names == [team.two.name, team.role["RoleName"], team.one.name]


def test_what_is_not_there_has_no_report(iam: IAMClient, identities: Identities) -> None:
    user = identities.user()
    job = iam.generate_service_last_accessed_details(Arn=user.arn)["JobId"]
    iam.delete_access_key(UserName=user.name, AccessKeyId=user.access_key_id)
    iam.delete_user(UserName=user.name)
    for call, more in (
        (iam.get_service_last_accessed_details, {}),
        (iam.get_service_last_accessed_details_with_entities, {"ServiceNamespace": "kms"}),
    ):
        for each in (job, "0" * 36):
            missing = {"Code": "NoSuchEntity", "Message": f"The job with id {each} cannot be found."}
            assert error_with_status(404, call, JobId=each, **more) == missing
    generate = iam.generate_service_last_accessed_details
    assert error_with_status(404, generate, Arn=user.arn)["Message"] == (
        f"The user with name {user.name} cannot be found."
    )
    for arn, code, status in (
        (f"arn:aws:iam::{ACCOUNT}:policy/absent", "NoSuchEntity", 404),
        (identities.user().arn.replace(ACCOUNT, "444455556666"), "NoSuchEntity", 404),
        (f"arn:aws:iam::{ACCOUNT}:root", "InvalidInput", 400),
        (f"arn:aws:iam::{ACCOUNT}:instance-profile/one", "InvalidInput", 400),
        ("arn:aws:s3:::bucket-of-somewhere", "InvalidInput", 400),
        ("something without any colon", "InvalidInput", 400),
    ):
        assert error_with_status(status, generate, Arn=arn)["Code"] == code


def test_jobs_belong_to_an_account(iam: IAMClient, away: Any, team: Team) -> None:
    job = iam.generate_service_last_accessed_details(Arn=team.one.arn)["JobId"]
    assert error_with_status(404, away.iam.get_service_last_accessed_details, JobId=job)["Code"] == "NoSuchEntity"
    assert error_with_status(404, away.iam.generate_service_last_accessed_details, Arn=team.one.arn)


def test_a_policy_can_allow_reports_on_some(identities: Identities) -> None:
    red, blue = (identities.user(tags={"team": team}) for team in ("red", "blue"))
    mine = {"StringEquals": {"aws:ResourceTag/team": "red"}}
    lead = identities.user(allow(do="iam:GenerateServiceLastAccessedDetails", when=mine))
    lead.iam.generate_service_last_accessed_details(Arn=red.arn)
    refusal = error_with_status(403, lead.iam.generate_service_last_accessed_details, Arn=blue.arn)
    assert f"on resource: {blue.arn}" in refusal["Message"]
