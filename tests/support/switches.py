"""Switches: what can be turned on and off in a deployment, each with a call whose answer tells which it is.

A switch is turned by one client at a time. To turn it twice in the same direction is no error, so a client that does
not know whether it was turned can do so again.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from botocore.credentials import Credentials

from clients import client_of, client_with, credentials_of
from fast_client import CallRefused, FastClient, KmsClient
from identities import ACCOUNT_ROOT, Identities
from local_server import RunningServer
from policies import allow, document
from prepared_client import PreparedCall
from sessions import assume

Turn = Callable[[KmsClient, bool], None]
ENCRYPT = allow(do="kms:Encrypt")
_PLAINTEXT = "c3Rvcm0="
_UNAVAILABLE = frozenset({"DependencyTimeoutException", "ThrottlingException", "ServiceUnavailable"})
_DENIED = "AccessDeniedException"


class Use(msgspec.Struct):
    """A call that succeeds while the switch is on, and is refused with the error ``off`` while it is not.

    With ``on_key`` it always succeeds, and the switch is on if it is that key (ARN) which was used.
    """

    call: PreparedCall
    off: str = _DENIED
    on_key: str | None = None

    def observed(self, status: int, body: bytes) -> bool | None:
        """Return whether the switch is on; None for a call that was refused for the time being. Raises WrongAnswer."""
        try:
            answer = json.loads(body)
            if status == 200:
                return self.on_key is None or answer["KeyId"] == self.on_key
            if answer["__type"] in _UNAVAILABLE:
                return None
            if answer["__type"] == self.off and self.on_key is None:
                return False
        except (ValueError, LookupError):
            pass
        raise WrongAnswer(f"{self.call.operation} was answered with {status}: {body.decode(errors='replace')}")


class WrongAnswer(Exception):
    """An answer that no client may get, whatever is done to the servers."""


class Switch(msgspec.Struct):
    """One thing. ``turn`` turns it on or off."""

    name: str
    turn: Turn
    use: Use


class SwitchMaker:
    """Makes switches of every kind, all of them on, as the root of the account."""

    def __init__(self, server: RunningServer) -> None:
        self._kms = client_of(server)
        self._identities = Identities(server, client_with(server, "iam", credentials_of(server)))
        self._client = FastClient(server)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def make(self, number: int) -> Iterator[Switch]:
        """Make one switch of each kind; their names have the number."""
        kinds = {
            "key state": self._key_state,
            "key policy": self._key_policy,
            "grant": self._grant,
            "access key": self._access_key,
            "user policy": self._user_policy,
            "role policy": self._role_policy,
            "alias": self._alias,
        }
        for kind, made in kinds.items():
            turn, use = made()
            turn(self._client, True)  # noqa: FBT003 - on
            yield Switch(f"{kind} {number}", turn, use)

    def _key_state(self) -> tuple[Turn, Use]:
        key_id, user = self._key(), self._identities.user(ENCRYPT)

        def turn(client: KmsClient, on: bool) -> None:  # noqa: FBT001 - the state of a switch
            client("EnableKey" if on else "DisableKey", KeyId=key_id)

        return turn, _encrypts(key_id, user.credentials, off="DisabledException")

    def _key_policy(self) -> tuple[Turn, Use]:
        key_id, user = self._key(), self._identities.user()

        def turn(client: KmsClient, on: bool) -> None:  # noqa: FBT001
            allowed = [allow(user.arn, do="kms:Encrypt")] if on else []
            policy = document(allow(ACCOUNT_ROOT), *allowed)
            client("PutKeyPolicy", KeyId=key_id, PolicyName="default", Policy=policy)

        return turn, _encrypts(key_id, user.credentials)

    def _grant(self) -> tuple[Turn, Use]:
        key_id, user, grants = self._key(), self._identities.user(), list[str]()

        def turn(client: KmsClient, on: bool) -> None:  # noqa: FBT001
            if on:
                # With its name, the same grant is not made twice.
                asked = {"KeyId": key_id, "GranteePrincipal": user.arn, "Operations": ["Encrypt"], "Name": "only"}
                grants.append(client("CreateGrant", **asked)["GrantId"])
                return
            with _unless_gone("NotFoundException"):
                client("RevokeGrant", KeyId=key_id, GrantId=grants[-1])

        return turn, _encrypts(key_id, user.credentials)

    def _access_key(self) -> tuple[Turn, Use]:
        key_id, user = self._key(), self._identities.user(ENCRYPT)

        def turn(client: KmsClient, on: bool) -> None:  # noqa: FBT001
            status = "Active" if on else "Inactive"
            client.query("iam", "UpdateAccessKey", UserName=user.name, AccessKeyId=user.access_key_id, Status=status)

        return turn, _encrypts(key_id, user.credentials, off="UnrecognizedClientException")

    def _user_policy(self) -> tuple[Turn, Use]:
        key_id, user = self._key(), self._identities.user()
        return _policy_turn("User", user.name), _encrypts(key_id, user.credentials)

    def _role_policy(self) -> tuple[Turn, Use]:
        key_id, role = self._key(), self._identities.role()
        user = self._identities.user(allow(do="sts:AssumeRole"))
        return _policy_turn("Role", role["RoleName"]), _encrypts(key_id, assume(user.sts, role["Arn"]))

    def _alias(self) -> tuple[Turn, Use]:
        keys = {on: self._kms.create_key()["KeyMetadata"] for on in (True, False)}
        alias, user = f"alias/{keys[True]['KeyId']}", self._identities.user(ENCRYPT)
        self._kms.create_alias(AliasName=alias, TargetKeyId=keys[True]["KeyId"])

        def turn(client: KmsClient, on: bool) -> None:  # noqa: FBT001
            client("UpdateAlias", AliasName=alias, TargetKeyId=keys[on]["KeyId"])

        return turn, _encrypts(alias, user.credentials, on_key=keys[True]["Arn"])

    def _key(self) -> str:
        return self._kms.create_key()["KeyMetadata"]["KeyId"]


def _policy_turn(kind: str, name: str) -> Turn:
    """Return what gives a user or a role a policy that allows Encrypt, or takes it away."""
    fields = {f"{kind}Name": name, "PolicyName": "switch"}

    def turn(client: KmsClient, on: bool) -> None:  # noqa: FBT001
        if on:
            client.query("iam", f"Put{kind}Policy", **fields, PolicyDocument=document(ENCRYPT))
            return
        with _unless_gone("NoSuchEntity"):
            client.query("iam", f"Delete{kind}Policy", **fields)

    return turn


@contextmanager
def _unless_gone(code: str) -> Iterator[None]:
    """Let an earlier attempt, whose outcome was unknown, have removed it."""
    try:
        yield
    except CallRefused as error:
        if error.code != code:
            raise


def _encrypts(key_id: str, credentials: Credentials, *, off: str = _DENIED, on_key: str | None = None) -> Use:
    request = {"KeyId": key_id, "Plaintext": _PLAINTEXT}
    access_key, secret = str(credentials.access_key), str(credentials.secret_key)
    return Use(PreparedCall("Encrypt", request, access_key, secret, credentials.token), off, on_key)
