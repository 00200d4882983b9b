"""Types that IAM's requests and responses share, with the limits that AWS's model gives them.

Times are epoch seconds. Policy documents in responses are percent-encoded, as on AWS (RFC 3986).
"""

import zlib
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from strongroom.iam.entities import Entity, Group, Holder, Role, User
from strongroom.keys.names import TAG_CHARACTERS
from strongroom.operations.paging import Page, PageSize, page
from strongroom.operations.shapes import Request, Response, at_most, matching

T = TypeVar("T")

_NAME = r"[\w+=,.@-]+"
_PATH = r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)"
_TAG = r"[\p{L}\p{Z}\p{N}_.:/=+\-@]"
_TAG_HERE = f"[{TAG_CHARACTERS}]"
_PAGE = PageSize(default=100, maximum=1000)

UserName = Annotated[str, Meta(min_length=1, max_length=64), matching(_NAME)]
ExistingUserName = Annotated[str, Meta(min_length=1, max_length=128), matching(_NAME)]
GroupName = Annotated[str, Meta(min_length=1, max_length=128), matching(_NAME)]
RoleName = Annotated[str, Meta(min_length=1, max_length=64), matching(_NAME)]
InstanceProfileName = Annotated[str, Meta(min_length=1, max_length=128), matching(_NAME)]
PolicyName = Annotated[str, Meta(min_length=1, max_length=128), matching(_NAME)]
Path = Annotated[str, Meta(min_length=1, max_length=512), matching(_PATH)]
PathPrefix = Annotated[str, Meta(min_length=1, max_length=512), matching(r"\u002F[\u0021-\u007F]*")]
PolicyPath = Annotated[str, Meta(min_length=1, max_length=512), matching(r"((/[A-Za-z0-9\.,\+@=_-]+)*)/")]
PolicyText = Annotated[str, Meta(min_length=1, max_length=131072), matching(r"[\u0009\u000A\u000D\u0020-\u00FF]+")]
Arn = Annotated[str, Meta(min_length=20, max_length=2048)]
RoleDescription = Annotated[str, Meta(max_length=1000), matching(r"[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*")]
PolicyDescription = Annotated[str, Meta(max_length=1000)]
MaxSessionDuration = Annotated[int, Meta(ge=3600, le=43200)]
AccessKeyId = Annotated[str, Meta(min_length=16, max_length=128), matching(r"[\w]+")]
VersionId = Annotated[str, at_most(128), matching(r"v[1-9][0-9]*(\.[A-Za-z0-9-]*)?")]
Marker = Annotated[str, Meta(min_length=1, max_length=320), matching(r"[\u0020-\u00FF]+")]
MaxItems = Annotated[int, Meta(ge=1, le=1000)]
TagKey = Annotated[str, Meta(min_length=1, max_length=128), matching(f"{_TAG}+", f"{_TAG_HERE}+")]
TagValue = Annotated[str, Meta(min_length=0, max_length=256), matching(f"{_TAG}*", f"{_TAG_HERE}*")]


class Tag(msgspec.Struct, rename="pascal", frozen=True):
    """A key-value pair on a user, role or policy."""

    key: TagKey
    value: TagValue

    @property
    def pair(self) -> tuple[str, str]:
        """Key and value."""
        return self.key, self.value


PolicyTexts = Annotated[list[PolicyText], at_most(1000)]
TagList = Annotated[list[Tag], Meta(max_length=50)]
TagKeyList = Annotated[list[TagKey], Meta(max_length=50)]


class PagedRequest(Request):
    """The paging parameters that the request of every list has."""

    marker: Marker | None = None
    max_items: MaxItems | None = None


class PagedResponse(Response, kw_only=True):
    """The paging fields that the response of every list has beside its entries."""

    is_truncated: bool = False
    marker: str | None = None


class BoundaryType(StrEnum):
    """The only kind of permissions boundary."""

    POLICY = "PermissionsBoundaryPolicy"


class AttachedPermissionsBoundary(msgspec.Struct, rename="pascal", frozen=True):
    """A permissions boundary in a response."""

    permissions_boundary_arn: str
    permissions_boundary_type: BoundaryType = BoundaryType.POLICY


class UserShape(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """A user in a response. The account's root, which GetUser can show too, has no name."""

    path: str
    user_name: str | None
    user_id: str
    arn: str
    create_date: float
    permissions_boundary: AttachedPermissionsBoundary | None = None
    tags: list[Tag] | None = None


class GroupShape(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """A group in a response."""

    path: str
    group_name: str
    group_id: str
    arn: str
    create_date: float


class RoleLastUsed(msgspec.Struct, rename="pascal", frozen=True):
    """When and in which Region a role was last used; empty if it was not in the tracking period."""

    last_used_date: float | None = None
    region: str | None = None


NEVER_USED = RoleLastUsed()


class RoleShape(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """A role in a response."""

    path: str
    role_name: str
    role_id: str
    arn: str
    create_date: float
    assume_role_policy_document: str
    description: str | None = None
    max_session_duration: int
    permissions_boundary: AttachedPermissionsBoundary | None = None
    tags: list[Tag] | None = None
    role_last_used: RoleLastUsed | None = NEVER_USED


def show_user(user: User) -> UserShape:
    """Return a user as responses show it."""
    return UserShape(
        path=user.path,
        user_name=user.name,
        user_id=user.unique_id,
        arn=user.arn,
        create_date=user.created_at,
        permissions_boundary=show_boundary(user),
        tags=show_tags(user),
    )


def list_user(user: User) -> UserShape:
    """Return a user as lists show it: without boundary and tags."""
    return replace(show_user(user), permissions_boundary=None, tags=None)


def show_group(group: Group) -> GroupShape:
    """Return a group as responses show it."""
    return GroupShape(
        path=group.path, group_name=group.name, group_id=group.unique_id, arn=group.arn, create_date=group.created_at
    )


def show_role(role: Role, *, trust_policy: str | None = None, last_used: RoleLastUsed | None = NEVER_USED) -> RoleShape:
    """Return a role as responses show it; ``trust_policy`` is its trust policy with the current names of principals."""
    return RoleShape(
        path=role.path,
        role_name=role.name,
        role_id=role.unique_id,
        arn=role.arn,
        create_date=role.created_at,
        assume_role_policy_document=encoded(trust_policy or role.trust_policy),
        description=role.description or None,
        max_session_duration=role.max_session_seconds,
        permissions_boundary=show_boundary(role),
        tags=show_tags(role),
        role_last_used=last_used,
    )


def list_role(role: Role, trust_policy: str) -> RoleShape:
    """Return a role as lists show it: without boundary, tags and last use."""
    return replace(show_role(role, trust_policy=trust_policy, last_used=None), permissions_boundary=None, tags=None)


def show_boundary(holder: Holder) -> AttachedPermissionsBoundary | None:
    """Return a permissions boundary as responses show it."""
    return None if holder.boundary is None else AttachedPermissionsBoundary(holder.boundary)


def show_tags(entity: Entity) -> list[Tag] | None:
    """Return tags as responses show them; None if there are none."""
    return [Tag(*pair) for pair in entity.tags] or None


def encoded(document: str) -> str:
    """Return a policy document percent-encoded, as IAM's responses have it."""
    return quote(document, safe="")


def cut(
    scope: str, request: PagedRequest, found: Sequence[T], name: Callable[[T], str]
) -> tuple[list[T], bool, str | None]:
    """Return one page of a whole list, ordered by ``name``; whether there is more; and the marker of the next page."""
    asked = _page_of(scope, request)
    rest = [each for each in found if name(each) > asked.after]
    kept, marker = asked.cut(rest[: asked.size + 1], name)
    return kept, marker is not None, marker


def read_page(
    scope: str, request: PagedRequest, read: Callable[[str, int], Sequence[T]], name: Callable[[T], str]
) -> tuple[list[T], bool, str | None]:
    """Return one page of a list that is read with ``read(after, limit)``."""
    asked = _page_of(scope, request)
    kept, marker = asked.cut(read(asked.after, asked.size + 1), name)
    return kept, marker is not None, marker


def _page_of(scope: str, request: PagedRequest) -> Page:
    # IAM's markers have at most 320 characters: room for the longest name, but not for a path beside it.
    return page(f"{zlib.crc32(scope.encode()):08x}", request.max_items, request.marker, _PAGE)
