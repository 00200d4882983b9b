"""Every paginator and waiter that botocore has for an operation served here.

The pages of a list, put together, are the whole list. Waiters end when what they wait for exists, and give up if it
never does.
"""

import json
import threading
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import WaiterError
from botocore.loaders import Loader

from accounts import Account
from custom_stores import CLUSTER
from identities import iam_tags, trusts
from local_server import RunningServer
from policies import allow, document
from strongroom.operations.iam.table import IAM_TABLE
from strongroom.operations.kms.table import TABLE
from strongroom.operations.sts.table import STS_TABLE

ACCOUNT = "666677778888"
TABLES = {"kms": TABLE, "iam": IAM_TABLE, "sts": STS_TABLE}
PAGE = {"PageSize": 1}
THREE = ("a", "B", "c")
TAGS = iam_tags({f"key-{each}": "value" for each in THREE})
POLICY = document(allow(do=["kms:Encrypt", "kms:Decrypt", "kms:Sign"]))
TRUST = document(trusts(f"arn:aws:iam::{ACCOUNT}:root"))
AT_MOST = {"ListAccessKeys": 2, "ListKeyPolicies": 1, "ListAccountAliases": 1}
"""Lists with a quota below three."""
ALWAYS_EMPTY = {
    "ListMFADevices",
    "ListSSHPublicKeys",
    "ListServerCertificates",
    "ListSigningCertificates",
    "ListVirtualMFADevices",
}


def served(kind: str, member: str) -> list[tuple[str, str]]:
    """Return the paginators or waiters of served operations: service and name."""
    loader, found = Loader(), []
    for service, table in TABLES.items():
        if service in loader.list_available_services(kind):
            entries = loader.load_service_model(service, kind)[member]
            found += [(service, name) for name, each in entries.items() if each.get("operation", name) in table]
    return found


PAGINATORS, WAITERS = served("paginators-1", "pagination"), served("waiters-2", "waiters")


class Populated:
    """An account with three of everything that lists list, as far as quotas allow."""

    def __init__(self, account: Account) -> None:
        self.clients: dict[str, Any] = {"kms": account.kms, "iam": account.iam}
        self._make_keys(self.clients["kms"])
        self._make_identities(self.clients["iam"])
        self.provider = ""
        self._make_more(self.clients["iam"])

    def _make_keys(self, kms: Any) -> None:
        keys = [kms.create_key()["KeyMetadata"]["KeyId"] for _ in THREE]
        self.key, root = keys[0], f"arn:aws:iam::{ACCOUNT}:root"
        kms.tag_resource(KeyId=self.key, Tags=[{"TagKey": each, "TagValue": "value"} for each in THREE])
        for number, each in enumerate(THREE):
            kms.create_alias(AliasName=f"alias/{each}", TargetKeyId=self.key)
            kms.create_grant(
                KeyId=self.key, GranteePrincipal=root, RetiringPrincipal=root, Operations=["Encrypt"], Name=each
            )
            kms.rotate_key_on_demand(KeyId=self.key)
            cluster = CLUSTER | {"CloudHsmClusterId": f"cluster-2a34b5cdef{number + 2}"}
            kms.create_custom_key_store(CustomKeyStoreName=each, **cluster)

    def _make_identities(self, iam: Any) -> None:
        arns = [iam.create_policy(PolicyName=each, PolicyDocument=POLICY, Tags=TAGS)["Policy"]["Arn"] for each in THREE]
        self.policy = arns[0]
        for _ in range(2):
            iam.create_policy_version(PolicyArn=self.policy, PolicyDocument=POLICY)
        for each in THREE:
            iam.create_user(UserName=each, Tags=TAGS)
            iam.create_role(RoleName=each, AssumeRolePolicyDocument=TRUST, Tags=TAGS)
            iam.create_group(GroupName=each)
        for each in THREE:
            iam.add_user_to_group(UserName=each, GroupName="a")
            iam.add_user_to_group(UserName="a", GroupName=each)
        for kind in ("user", "role", "group"):
            name, put, attach = f"{kind.capitalize()}Name", f"put_{kind}_policy", f"attach_{kind}_policy"
            for each, arn in zip(THREE, arns, strict=True):
                getattr(iam, put)(**{name: "a"}, PolicyName=each, PolicyDocument=POLICY)
                getattr(iam, attach)(**{name: "a"}, PolicyArn=arn)
                getattr(iam, attach)(**{name: each}, PolicyArn=self.policy)
        for _ in range(2):
            iam.create_access_key(UserName="a")

    def _make_more(self, iam: Any) -> None:
        """Make what only some releases have."""
        if "CreateInstanceProfile" in IAM_TABLE:
            for each in THREE:
                iam.create_instance_profile(InstanceProfileName=each, Tags=TAGS)
                iam.add_role_to_instance_profile(InstanceProfileName=each, RoleName="a")
        if "CreateAccountAlias" in IAM_TABLE:
            iam.create_account_alias(AccountAlias="paginated")
        if "CreateOpenIDConnectProvider" in IAM_TABLE:
            made = iam.create_open_id_connect_provider(Url="https://issuer.example/pages", Tags=TAGS)
            self.provider = made["OpenIDConnectProviderArn"]

    def arguments(self, name: str) -> dict[str, Any]:
        """Return the parameters of a list that has entries."""
        user, role, group = ({f"{kind}Name": "a"} for kind in ("User", "Role", "Group"))
        key, policy, profile = {"KeyId": self.key}, {"PolicyArn": self.policy}, {"InstanceProfileName": "a"}
        actions = {"ActionNames": ["kms:Encrypt", "kms:Decrypt", "kms:Sign"]}
        known: dict[str, dict[str, Any]] = {
            "GetGroup": group,
            "ListAccessKeys": user,
            "ListAttachedGroupPolicies": group,
            "ListAttachedRolePolicies": role,
            "ListAttachedUserPolicies": user,
            "ListEntitiesForPolicy": policy,
            "ListGrants": key,
            "ListGroupPolicies": group,
            "ListGroupsForUser": user,
            "ListInstanceProfileTags": profile,
            "ListInstanceProfilesForRole": role,
            "ListKeyPolicies": key,
            "ListKeyRotations": key,
            "ListMFADevices": user,
            "ListOpenIDConnectProviderTags": {"OpenIDConnectProviderArn": self.provider},
            "ListPolicyTags": policy,
            "ListPolicyVersions": policy,
            "ListResourceTags": key,
            "ListRetirableGrants": {"RetiringPrincipal": f"arn:aws:iam::{ACCOUNT}:root"},
            "ListRolePolicies": role,
            "ListRoleTags": role,
            "ListSSHPublicKeys": user,
            "ListSigningCertificates": user,
            "ListUserPolicies": user,
            "ListUserTags": user,
            "SimulateCustomPolicy": {"PolicyInputList": [POLICY]} | actions,
            "SimulatePrincipalPolicy": {"PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:user/a"} | actions,
        }
        return known.get(name, {})


@pytest.fixture(scope="module")
def populated(server: RunningServer) -> Populated:
    return Populated(Account(server, ACCOUNT))


def in_one_order(entries: list[Any]) -> list[Any]:
    return sorted(entries, key=lambda each: json.dumps(each, default=str, sort_keys=True))


def test_there_are_paginators_and_waiters() -> None:
    assert len(PAGINATORS) >= 36
    assert {name for _, name in WAITERS} >= {"UserExists", "RoleExists", "PolicyExists"}


@pytest.mark.parametrize(("service", "name"), PAGINATORS, ids=[name for _, name in PAGINATORS])
def test_the_pages_of_a_list_are_the_whole_list(populated: Populated, service: str, name: str) -> None:
    client, arguments, method = populated.clients[service], populated.arguments(name), xform_name(name)
    keys = Loader().load_service_model(service, "paginators-1")["pagination"][name]["result_key"]
    members = [keys] if isinstance(keys, str) else keys
    whole = getattr(client, method)(**arguments)
    assert whole.get("IsTruncated", whole.get("Truncated")) is False
    pages = list(client.get_paginator(method).paginate(**arguments, PaginationConfig=PAGE))
    total = sum(len(whole[member]) for member in members)
    assert total >= (0 if name in ALWAYS_EMPTY else AT_MOST.get(name, 3))
    assert [sum(len(page[member]) for member in members) for page in pages] == ([1] * total or [0])
    for member in members:
        union = [entry for page in pages for entry in page[member]]
        assert in_one_order(union) == in_one_order(whole[member])
        if len(members) == 1:
            assert union == whole[member]


def test_the_command_line_clients_limit_spans_pages(populated: Populated) -> None:
    """With ``MaxItems`` and ``StartingToken``, botocore goes on in the middle of a page."""
    paginator = populated.clients["iam"].get_paginator("list_users")
    first = paginator.paginate(PaginationConfig={"PageSize": 2, "MaxItems": 1}).build_full_result()
    rest = paginator.paginate(PaginationConfig={"PageSize": 2, "StartingToken": first["NextToken"]}).build_full_result()
    assert [user["UserName"] for part in (first, rest) for user in part["Users"]] == [*THREE]


def waited_for(name: str) -> tuple[dict[str, str], str, dict[str, str]]:
    """Return the parameters of a waiter, and the operation that makes what it waits for with its parameters."""
    match name:
        case "UserExists":
            return {"UserName": "late"}, "create_user", {}
        case "RoleExists":
            return {"RoleName": "late"}, "create_role", {"AssumeRolePolicyDocument": TRUST}
        case "InstanceProfileExists":
            return {"InstanceProfileName": "late"}, "create_instance_profile", {}
        case _:
            policy = {"PolicyName": "late", "PolicyDocument": POLICY}
            return {"PolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/late"}, "create_policy", policy


@pytest.mark.parametrize(("service", "name"), WAITERS, ids=[name for _, name in WAITERS])
def test_a_waiter_gives_up_or_sees_what_appears(populated: Populated, service: str, name: str) -> None:
    client, (target, make, parameters) = populated.clients[service], waited_for(name)
    waiter = client.get_waiter(xform_name(name))
    with pytest.raises(WaiterError, match="Max attempts exceeded"):
        waiter.wait(**target, WaiterConfig={"Delay": 0, "MaxAttempts": 2})
    named = {} if make == "create_policy" else target
    timer = threading.Timer(0.2, lambda: getattr(client, make)(**named, **parameters))
    timer.start()
    waiter.wait(**target, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
    timer.join()
    waiter.wait(**target, WaiterConfig={"Delay": 0, "MaxAttempts": 1})
