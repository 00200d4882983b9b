"""The entities that IAM keeps: users, groups, roles, managed policies, instance profiles and identity providers.

Each has its policies, tags and references. Source: IAM API Reference, data types User, Group, Role, Policy,
InstanceProfile, and GetOpenIDConnectProvider. They are frozen: a change makes a new one. Names are
unique within an account and kind, without regard to case. A unique id is never used again, so a policy that names a
deleted user does not apply to the next user of that name.
"""

from enum import StrEnum
from typing import ClassVar

import msgspec
from typing_extensions import override

DEFAULT_SESSION_SECONDS = 3600


class EntityKind(StrEnum):
    """The kinds of entities. The value is the resource type in their ARNs."""

    USER = "user"
    GROUP = "group"
    ROLE = "role"
    POLICY = "policy"
    INSTANCE_PROFILE = "instance-profile"
    OIDC_PROVIDER = "oidc-provider"


class Relation(StrEnum):
    """How an entity refers to another."""

    ATTACHED = "attached"
    BOUNDARY = "boundary"
    MEMBER = "member"
    IN_PROFILE = "in-profile"


class Link(msgspec.Struct, frozen=True):
    """One entity's reference to another: to a policy or role by its ARN, to a group by its name."""

    relation: Relation
    target: str


class InlinePolicy(msgspec.Struct, frozen=True):
    """A policy that belongs to one user, group or role; ``document`` as it was written."""

    name: str
    document: str


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that all kinds have. ``created_at`` is in epoch seconds; ``tags`` are ordered by key."""

    kind: ClassVar[EntityKind]

    account: str
    name: str
    unique_id: str
    created_at: float
    path: str = "/"
    partition: str = "aws"
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def arn(self) -> str:
        """``arn:PARTITION:iam::ACCOUNT:KIND/[PATH/]NAME``."""
        return f"arn:{self.partition}:iam::{self.account}:{self.kind}{self.path}{self.name}"

    @property
    def links(self) -> tuple[Link, ...]:
        """Every reference to another entity."""
        return ()


class Holder(Entity, frozen=True, kw_only=True):
    """An entity that has policies. ``inline`` is ordered by name; ``attached`` has ARNs in the order of attachment."""

    inline: tuple[InlinePolicy, ...] = ()
    attached: tuple[str, ...] = ()
    boundary: str | None = None

    @property
    @override
    def links(self) -> tuple[Link, ...]:
        """The managed policies attached, and the one that is the permissions boundary."""
        attached = tuple(Link(Relation.ATTACHED, arn) for arn in self.attached)
        return attached if self.boundary is None else (*attached, Link(Relation.BOUNDARY, self.boundary))


class User(Holder, frozen=True, kw_only=True):
    """A user; ``groups`` by name."""

    kind: ClassVar[EntityKind] = EntityKind.USER

    groups: tuple[str, ...] = ()

    @property
    @override
    def links(self) -> tuple[Link, ...]:
        """Policies, boundary and groups."""
        return (*super().links, *(Link(Relation.MEMBER, name) for name in self.groups))


class Group(Holder, frozen=True, kw_only=True):
    """A group. Its members are the users that have its name in ``groups``."""

    kind: ClassVar[EntityKind] = EntityKind.GROUP


class Role(Holder, frozen=True, kw_only=True):
    """A role, with the trust policy that decides who can assume it. Its sessions have a maximum length in seconds."""

    kind: ClassVar[EntityKind] = EntityKind.ROLE

    trust_policy: str
    trusted: tuple[tuple[str, str], ...] = ()
    """ARN → unique id of the principals the trust policy names, as they were when it was written."""
    description: str = ""
    max_session_seconds: int = DEFAULT_SESSION_SECONDS


class PolicyVersion(msgspec.Struct, frozen=True):
    """One version of a managed policy; ``number`` 3 is shown as ``v3``."""

    number: int
    document: str
    created_at: float

    @property
    def version_id(self) -> str:
        """``v3``."""
        return f"v{self.number}"


class ManagedPolicy(Entity, frozen=True, kw_only=True):
    """A managed policy. ``versions`` has the oldest first; ``last_version`` is the highest number given so far."""

    kind: ClassVar[EntityKind] = EntityKind.POLICY

    versions: tuple[PolicyVersion, ...]
    default_version: int = 1
    last_version: int = 1
    description: str = ""
    updated_at: float = 0.0

    @property
    def document(self) -> str:
        """The document of the default version."""
        return next(each.document for each in self.versions if each.number == self.default_version)


class InstanceProfile(Entity, frozen=True, kw_only=True):
    """An instance profile: what hands a role to a virtual machine. ``role`` is the role's ARN; it has one at most."""

    kind: ClassVar[EntityKind] = EntityKind.INSTANCE_PROFILE

    role: str | None = None

    @property
    @override
    def links(self) -> tuple[Link, ...]:
        """The role."""
        return () if self.role is None else (Link(Relation.IN_PROFILE, self.role),)


class OpenIdConnectProvider(Entity, frozen=True, kw_only=True):
    """An OpenID Connect issuer whose tokens one account accepts. ``name`` is its URL without the scheme.

    ``keys`` are the issuer's public keys (a JWK Set, RFC 7517, 5) as an operator has set them; None: not set here.
    """

    kind: ClassVar[EntityKind] = EntityKind.OIDC_PROVIDER

    client_ids: tuple[str, ...] = ()
    thumbprints: tuple[str, ...] = ()
    keys: str | None = None

    @property
    def issuer(self) -> str:
        """The issuer's URL, as tokens name it in ``iss``."""
        return f"https://{self.name}"


ENTITY_TYPES: dict[EntityKind, type[Entity]] = {
    each.kind: each for each in (User, Group, Role, ManagedPolicy, InstanceProfile, OpenIdConnectProvider)
}
