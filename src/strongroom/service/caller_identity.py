"""Translates a credential into who called, as audit records show it."""

from collections.abc import Mapping

from strongroom.audit.cloudtrail import event_time
from strongroom.audit.user_identity import (
    UserIdentity,
    session_context,
    session_issuer,
    trusted_service,
    web_identity,
)
from strongroom.iam import PrincipalKind
from strongroom.iam.principals import Principal
from strongroom.operations.context import Origin
from strongroom.snapshot.principals import Credential

_TYPES = {
    PrincipalKind.ACCOUNT_ROOT: "Root",
    PrincipalKind.USER: "IAMUser",
    PrincipalKind.ASSUMED_ROLE: "AssumedRole",
}


def identity_of(credential: Credential, origin: Origin) -> UserIdentity:
    """Return who called, each kind of principal in the shape CloudTrail gives it."""
    principal = credential.principal
    if principal.kind is PrincipalKind.SERVICE:
        return trusted_service(principal.arn, credential.access_key_id)
    if principal.kind is PrincipalKind.WEB_IDENTITY:
        return web_identity(principal.user_id, principal.arn, principal.provider or "")
    context = None
    if credential.issued_at is not None:
        created = event_time(credential.issued_at)
        context = session_context(created, _issuer(principal), principal.provider, credential.source_identity)
    return UserIdentity(
        _TYPES[principal.kind],
        principal_id=principal.user_id,
        arn=principal.arn,
        account_id=principal.account,
        access_key_id=credential.access_key_id,
        user_name=principal.user_name or "",
        session_context=context,
        invoked_by=origin.via_service or "",
    )


def _issuer(principal: Principal) -> Mapping[str, object] | None:
    if principal.kind is not PrincipalKind.ASSUMED_ROLE or principal.issuer_arn is None:
        return None
    return session_issuer(principal.issuer_arn, principal.unique_id, principal.account)
