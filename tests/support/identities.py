"""Users, groups, policies and roles created for one test, and clients that use their credentials."""

import itertools
from typing import Any

import msgspec
from botocore.credentials import Credentials

from clients import client_with
from local_server import RunningServer
from policies import Json, document

ACCOUNT = "000000000000"
ACCOUNT_ROOT = f"arn:aws:iam::{ACCOUNT}:root"

_numbers = itertools.count(1)


class Person(msgspec.Struct, frozen=True):
    """A user with an access key, and clients that use it."""

    name: str
    arn: str
    user_id: str
    credentials: Credentials
    kms: Any
    iam: Any
    sts: Any

    @property
    def access_key_id(self) -> str:
        """The id of the access key."""
        return str(self.credentials.access_key)


class Identities:
    """Creates identities as the account's root, under names that no other test uses."""

    def __init__(self, server: RunningServer, iam: Any) -> None:
        self.server = server
        self.iam = iam

    def user(self, *statements: Json, path: str = "/", tags: Json | None = None) -> Person:
        """Return a new user who has one inline policy, ``own``, if statements are given."""
        name = new_name("user")
        made = self.iam.create_user(UserName=name, Path=path, Tags=iam_tags(tags or {}))["User"]
        if statements:
            self.iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document(*statements))
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        credentials = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
        return Person(
            name=name,
            arn=made["Arn"],
            user_id=made["UserId"],
            credentials=credentials,
            kms=client_with(self.server, "kms", credentials),
            iam=client_with(self.server, "iam", credentials),
            sts=client_with(self.server, "sts", credentials),
        )

    def group(self, *statements: Json) -> str:
        """Return the name of a new group, with an inline policy ``own`` if statements are given."""
        name = new_name("group")
        self.iam.create_group(GroupName=name)
        if statements:
            self.iam.put_group_policy(GroupName=name, PolicyName="own", PolicyDocument=document(*statements))
        return name

    def policy(self, *statements: Json, path: str = "/") -> str:
        """Return the ARN of a new managed policy."""
        made = self.iam.create_policy(PolicyName=new_name("policy"), Path=path, PolicyDocument=document(*statements))
        arn: str = made["Policy"]["Arn"]
        return arn

    def role(self, *trusted: str, path: str = "/") -> Json:
        """Return a new role that these principals may assume; the account's root if none are given."""
        trust = document(trusts(*(trusted or (ACCOUNT_ROOT,))))
        role: Json = self.iam.create_role(RoleName=new_name("role"), Path=path, AssumeRolePolicyDocument=trust)["Role"]
        return role


def new_name(kind: str) -> str:
    """Return a name that has not been used yet."""
    return f"{kind}-{next(_numbers):03}"


def trusts(*principals: str) -> Json:
    """Return the statement of a trust policy."""
    return {"Effect": "Allow", "Principal": {"AWS": list(principals)}, "Action": "sts:AssumeRole"}


def iam_tags(tags: Json) -> list[Any]:
    """Return tags as IAM's operations take them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
