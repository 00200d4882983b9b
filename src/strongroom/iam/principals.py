"""Principals: authenticated callers, the names by which policies can refer to them, and their condition keys.

A principal is made once, when it authenticates, and used for many decisions. What is derived from it is computed on
first use and cached. Source: IAM User Guide, "AWS JSON policy elements: Principal" and "Information
available in all requests" (the table of principal key values).
"""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Final

import msgspec

from strongroom.arns import known_arn

_SERVICE: Final = "Service:"
_FEDERATED: Final = "Federated:"


class PrincipalKind(StrEnum):
    """The kind of a principal. The value is that of ``aws:PrincipalType``, where AWS defines one."""

    ACCOUNT_ROOT = "Account"
    USER = "User"
    ASSUMED_ROLE = "AssumedRole"
    WEB_IDENTITY = "WebIdentity"
    SERVICE = "Service"


class Principal(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """An authenticated caller.

    ``arn``: how messages and records show the caller (for a role session ``arn:aws:sts::A:assumed-role/ROLE/SESSION``;
    for a service its DNS name). ``account``: twelve digits; empty for services and web identities, which have no
    account. ``user_id``: ``aws:userid`` (``AIDA…``; ``AROA…:SESSION`` for a role session; the account id for the root).
    ``issuer_arn``: CloudTrail's session issuer: the role (with its path) of a session.
    ``provider``: the identity provider (its ARN, or its DNS name) that authenticated a web identity, or the one that a
    session was made from. ``tags``: the principal's own tags, overridden by session tags.
    """

    kind: PrincipalKind
    arn: str
    account: str = ""
    user_id: str = ""
    user_name: str | None = None
    issuer_arn: str | None = None
    provider: str | None = None
    tags: Mapping[str, str] = {}

    @property
    def partition(self) -> str:
        """The AWS partition of the caller's account. It does not depend on the Region that a request was signed for."""
        return known_arn(self.arn).partition if self.account else "aws"

    @property
    def unique_id(self) -> str:
        """The unique id of a user, or of the role of a session; the account id for an account's root."""
        return self.user_id.partition(":")[0]

    @cached_property
    def own_names(self) -> tuple[str, ...]:
        """The names by which a resource policy names this caller itself: ARN or unique id, account id for the root."""
        match self.kind:
            case PrincipalKind.ACCOUNT_ROOT:
                return (self.account,)
            case PrincipalKind.USER:
                return (self.arn, self.user_id) if self.user_id else (self.arn,)
            case PrincipalKind.ASSUMED_ROLE:
                return (self.arn,)
            case PrincipalKind.SERVICE:
                return (_SERVICE + self.arn,)
            case PrincipalKind.WEB_IDENTITY:
                return (_FEDERATED + self.provider,) if self.provider else ()

    @cached_property
    def issuer_names(self) -> tuple[str, ...]:
        """The names of the role of a session. Boundary and session policies limit an allow for these."""
        names = [self.issuer_arn] if self.issuer_arn else []
        if self.kind is PrincipalKind.ASSUMED_ROLE:
            names += [self.unique_id] if self.unique_id else []
            names += [_FEDERATED + self.provider] if self.provider else []
        return tuple(names)

    @cached_property
    def levels(self) -> tuple[frozenset[str], ...]:
        """The names of the caller, its issuer and its account, each level by itself, for ``NotPrincipal`` with Deny."""
        account = (self.account,) if self.account else ()
        return tuple(frozenset(level) for level in (self.own_names, self.issuer_names, account) if level)

    @cached_property
    def condition_keys(self) -> Mapping[str, tuple[str, ...]]:
        """The condition keys that depend on the principal alone, by name without regard to case (``str.casefold``)."""
        is_service = self.kind is PrincipalKind.SERVICE
        keys = {"aws:principalisawsservice": ("true" if is_service else "false",)}
        if is_service:
            return keys | {"aws:principalservicename": (self.arn,)}
        if self.kind is PrincipalKind.WEB_IDENTITY:
            return keys
        keys["aws:principaltype"] = (self.kind.value,)
        keys["aws:principalaccount"] = (self.account,)
        is_role = self.kind is PrincipalKind.ASSUMED_ROLE
        keys["aws:principalarn"] = (self.issuer_arn if is_role and self.issuer_arn else self.arn,)
        if self.user_id:
            keys["aws:userid"] = (self.user_id,)
        if self.kind is PrincipalKind.USER and self.user_name is not None:
            keys["aws:username"] = (self.user_name,)
        return keys | {_tag_key(name): (value,) for name, value in self.tags.items()}

    @cached_property
    def ambiguous_keys(self) -> frozenset[str]:
        """The condition keys, by the same names, that two tags stand for whose keys differ only by case."""
        counted = Counter(map(_tag_key, self.tags))
        return frozenset(name for name, count in counted.items() if count > 1)


def _tag_key(tag: str) -> str:
    # As those of resources are compared (``keys.names.folded``): U+017F, the long s, is an S without regard to case.
    return f"aws:principaltag/{tag.casefold()}"


def is_principal_key(key: str) -> bool:
    """Tell whether a condition key, in lower case, describes the principal. A request must not supply it."""
    return key.startswith("aws:principal") or key in {"aws:userid", "aws:username"}


def service_name(value: str) -> str:
    """Return the name of a service principal as ``Principal.own_names`` has it."""
    return _SERVICE + value


def federated_name(value: str) -> str:
    """Return the name of an identity provider as ``Principal.own_names`` has it."""
    return _FEDERATED + value


def account_root(account: str, *, partition: str = "aws", tags: Mapping[str, str] | None = None) -> Principal:
    """Return the root of an account."""
    arn = f"arn:{partition}:iam::{account}:root"
    return Principal(kind=PrincipalKind.ACCOUNT_ROOT, arn=arn, account=account, user_id=account, tags=tags or {})


def iam_user(arn: str, *, user_id: str = "", tags: Mapping[str, str] | None = None) -> Principal:
    """Return a user by its ARN, ``arn:PARTITION:iam::ACCOUNT:user/[PATH/]NAME``."""
    parsed = known_arn(arn)
    return Principal(
        kind=PrincipalKind.USER,
        arn=arn,
        account=parsed.account,
        user_id=user_id,
        user_name=parsed.resource_name,
        tags=tags or {},
    )


def assumed_role(
    role_arn: str,
    session_name: str,
    *,
    role_id: str = "",
    provider: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Principal:
    """Return a session of a role, ``arn:PARTITION:iam::ACCOUNT:role/[PATH/]NAME``.

    The session's ARN drops the role's path. ``provider`` is given when the session came from AssumeRoleWithWebIdentity.
    """
    role = known_arn(role_arn)
    return Principal(
        kind=PrincipalKind.ASSUMED_ROLE,
        arn=f"arn:{role.partition}:sts::{role.account}:assumed-role/{role.resource_name}/{session_name}",
        account=role.account,
        user_id=f"{role_id}:{session_name}" if role_id else "",
        issuer_arn=role_arn,
        provider=provider,
        tags=tags or {},
    )


def web_identity(provider: str, subject: str, *, audience: str = "") -> Principal:
    """Return the bearer of a web identity token, before it has a session. ``arn`` is the token's subject."""
    user_id = f"{provider}:{audience}:{subject}" if audience else ""
    return Principal(kind=PrincipalKind.WEB_IDENTITY, arn=subject, user_id=user_id, provider=provider)


def service(name: str) -> Principal:
    """Return a service principal by its DNS name."""
    return Principal(kind=PrincipalKind.SERVICE, arn=name)
