"""Temporary credentials, as STS hands them out."""

from typing import Any

from botocore.credentials import Credentials

from clients import client_with
from local_server import RunningServer


def credentials_in(answer: Any) -> Credentials:
    """Return the credentials in an answer of STS."""
    made = answer["Credentials"]
    return Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])


def assume(sts: Any, role: str, name: str = "job", **more: Any) -> Credentials:
    """Return a session of a role."""
    return credentials_in(sts.assume_role(RoleArn=role, RoleSessionName=name, **more))


class Bearer:
    """The clients of whoever bears some credentials."""

    def __init__(self, server: RunningServer, credentials: Credentials) -> None:
        self.credentials = credentials
        self.kms = client_with(server, "kms", credentials)
        self.iam = client_with(server, "iam", credentials)
        self.sts = client_with(server, "sts", credentials)
