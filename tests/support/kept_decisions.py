"""A user's permissions, and whether a server still decides so: what a damaged policy must not change in silence."""

from typing import Self

import msgspec
from botocore.credentials import Credentials

from fast_client import CallRefused, FastClient
from local_server import RunningServer
from policies import allow, deny, document

_USER = "auditor"
_DENIED = "AccessDeniedException"


class Decisions(msgspec.Struct):
    """A user who may encrypt under one key and must not under another."""

    credentials: Credentials
    allowed: str
    denied: str

    @classmethod
    def made(cls, server: RunningServer) -> Self:
        """Create the user, its policy and two keys."""
        client = FastClient(server)
        allowed, denied = (client("CreateKey")["KeyMetadata"]["Arn"] for _ in range(2))
        client.query("iam", "CreateUser", UserName=_USER)
        policy = document(allow(do="kms:Encrypt"), deny(do="kms:Encrypt", on=denied))
        client.query("iam", "PutUserPolicy", UserName=_USER, PolicyName="own", PolicyDocument=policy)
        made = client.query("iam", "CreateAccessKey", UserName=_USER)
        client.close()
        return cls(Credentials(_element(made, "AccessKeyId"), _element(made, "SecretAccessKey")), allowed, denied)

    def differences(self, server: RunningServer) -> list[str]:
        """Return what the server decides differently, one line each; a wrong permission begins with WRONG."""
        client = FastClient(server, self.credentials)
        found = []
        if (refusal := self._encrypt(client, self.allowed)) is not None:
            found.append(f"the user is refused what it may do: {refusal}")
        refusal = self._encrypt(client, self.denied)
        if refusal is None:
            found.append("WRONG DECISION: the user may do what its policy denies")
        elif refusal.code != _DENIED:
            found.append(f"what the policy denies gives {refusal}")
        client.close()
        return found

    @staticmethod
    def _encrypt(client: FastClient, key: str) -> CallRefused | None:
        try:
            client("Encrypt", KeyId=key, Plaintext="eA==")
        except CallRefused as error:
            return error
        return None


def _element(text: str, name: str) -> str:
    return text.partition(f"<{name}>")[2].partition(f"</{name}>")[0]
