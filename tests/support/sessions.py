"""Temporary credentials from STS, and clients that use them."""

from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import Credentials
from mypy_boto3_sts.client import STSClient

from clients import client_with
from local_server import RunningServer


def credentials_in(answer: Any) -> Credentials:
    """Return the credentials in a response of STS."""
    made = answer["Credentials"]
    return Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])


def assume(sts: Any, role: str, name: str = "job", **more: Any) -> Credentials:
    """Assume a role; return the credentials of the session."""
    return credentials_in(sts.assume_role(RoleArn=role, RoleSessionName=name, **more))


def pod_of(server: RunningServer) -> STSClient:
    """Return a client without any credentials."""
    config = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
    return boto3.client("sts", region_name="us-east-1", endpoint_url=server.endpoint, config=config)


class SessionClients:
    """Clients of KMS, IAM and STS that use the same credentials."""

    def __init__(self, server: RunningServer, credentials: Credentials) -> None:
        self.credentials = credentials
        self.kms = client_with(server, "kms", credentials)
        self.iam = client_with(server, "iam", credentials)
        self.sts = client_with(server, "sts", credentials)
