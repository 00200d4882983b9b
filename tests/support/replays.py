"""The clients of a replayed program, which write down the operations that they call."""

from typing import Any

from botocore.config import Config

from policies import allow, document
from strongroom.testing import Account, Server

_ONCE = Config(retries={"total_max_attempts": 1})


class Replay:
    """Clients of KMS and STS for one program, in an account of its own, and what they have called by now."""

    def __init__(self, server: Server, account: Account, calls: set[str], **credentials: str) -> None:
        self.clock = server.clock
        self.account = account
        self.calls = calls
        self._server = server
        self.kms = self._client("kms", credentials)
        self.sts = self._client("sts", credentials)

    def _client(self, service: str, credentials: dict[str, str]) -> Any:
        client = self.account.client(service, config=_ONCE, **credentials)
        client.meta.events.register("before-call", lambda model, **_: self.calls.add(model.name))
        return client

    def user(self, *statements: Any) -> "Replay":
        """Return the clients of a new user with one policy."""
        iam = self.account.client("iam")
        iam.create_user(UserName="program")
        iam.put_user_policy(UserName="program", PolicyName="own", PolicyDocument=document(*statements))
        key = iam.create_access_key(UserName="program")["AccessKey"]
        keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        return Replay(self._server, self.account, self.calls, **keys)

    def role(self, *statements: Any) -> str:
        """Return the ARN of a new role with one policy, which the principals of the account may assume."""
        iam = self.account.client("iam")
        trust = document(allow(f"arn:aws:iam::{self.account.account}:root", do="sts:AssumeRole", on=None))
        made: str = iam.create_role(RoleName="program", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        iam.put_role_policy(RoleName="program", PolicyName="own", PolicyDocument=document(*statements))
        return made

    def assume(self, role: str, session: str) -> "Replay":
        """Return the clients of a session of a role."""
        made = self.sts.assume_role(RoleArn=role, RoleSessionName=session)["Credentials"]
        keys = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
        return Replay(self._server, self.account, self.calls, aws_session_token=made["SessionToken"], **keys)
