"""The caller of a record, in the format of CloudTrail's ``userIdentity``. Pure.

Source: AWS CloudTrail User Guide, "CloudTrail userIdentity element".
"""

from collections.abc import Mapping

import msgspec

AWS_INTERNAL = "AWS Internal"
"""The name that CloudTrail uses for a caller which is the service itself."""


class UserIdentity(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """The caller of a record.

    ``type`` is CloudTrail's: Root, IAMUser, AssumedRole, …; Unknown for an unauthenticated caller.
    """

    type: str
    principal_id: str = ""
    arn: str = ""
    account_id: str = ""
    access_key_id: str = ""
    user_name: str = ""
    identity_provider: str = ""
    session_context: Mapping[str, object] | None = None
    invoked_by: str = ""


UNKNOWN_IDENTITY = UserIdentity("Unknown")


def service_itself(account: str) -> UserIdentity:
    """Return the identity in records of actions that the service takes by itself in an account."""
    return UserIdentity("AWSAccount", account_id=account, invoked_by=AWS_INTERNAL)


def trusted_service(name: str, access_key_id: str) -> UserIdentity:
    """Return the identity of a service that calls for itself; ``name`` is its DNS name."""
    return UserIdentity("AWSService", access_key_id=access_key_id, invoked_by=name)


def operating_system_user(uid: int, name: str, login: str) -> UserIdentity:
    """Return the identity of the user who runs a command: user id and name in the operating system.

    ``login`` is the name of the user who logged in, if that was another one, as before sudo; else empty. CloudTrail has
    no such caller, so this type is ours.
    """
    context = {"sourceIdentity": login} if login else None
    return UserIdentity("OperatingSystemUser", principal_id=str(uid), user_name=name, session_context=context)


def web_identity(principal_id: str, user_name: str, provider: str) -> UserIdentity:
    """Return the identity of the bearer of a web identity token, as its ``provider`` names it."""
    return UserIdentity("WebIdentityUser", principal_id=principal_id, user_name=user_name, identity_provider=provider)


def session_issuer(role_arn: str, role_id: str, account: str) -> Mapping[str, object]:
    """Return the issuer of a role session: the role's ARN with path, its unique id, its account and its name."""
    return {
        "type": "Role",
        "principalId": role_id,
        "arn": role_arn,
        "accountId": account,
        "userName": role_arn.rpartition("/")[2],
    }


def session_context(
    created: str, issuer: Mapping[str, object] | None, provider: str | None, source_identity: str | None
) -> Mapping[str, object]:
    """Return CloudTrail's description of a session.

    ``created`` is its start, formatted by ``event_time``. ``issuer`` is its role, None for other sessions. ``provider``
    is the identity provider, if the session was made from a web identity.
    """
    found: dict[str, object] = {"attributes": {"creationDate": created, "mfaAuthenticated": "false"}}
    if issuer is not None:
        found["sessionIssuer"] = issuer
    if provider is not None:
        found["webIdFederationData"] = {"federatedProvider": provider, "attributes": {}}
    if source_identity is not None:
        found["sourceIdentity"] = source_identity
    return found
