"""Operations on the account as a whole: its entities in detail, and their numbers."""

from typing import Annotated

import msgspec

from strongroom.iam.aws_managed_policies import AWS_POLICIES, AwsPolicy
from strongroom.iam.entities import (
    Entity,
    Group,
    Holder,
    InstanceProfile,
    ManagedPolicy,
    OpenIdConnectProvider,
    Role,
    User,
)
from strongroom.operations.context import Context
from strongroom.operations.iam.attachments import AttachedPolicy, EntityType, attached_policies
from strongroom.operations.iam.instance_profiles import InstanceProfileShape, list_profile, profiles_of
from strongroom.operations.iam.last_used import role_last_used
from strongroom.operations.iam.managed_policies import usage
from strongroom.operations.iam.roles import trust_policy
from strongroom.operations.iam.shapes import (
    AttachedPermissionsBoundary,
    PagedRequest,
    PagedResponse,
    RoleLastUsed,
    Tag,
    cut,
    encoded,
    show_boundary,
    show_tags,
)
from strongroom.operations.shapes import Request, Response, at_most
from strongroom.store.protocol import Reader
from strongroom.store.subjects.identities import IdentityReader

_ALL = 1_000_000
_COUNTED: dict[str, type[Entity]] = {
    "Users": User,
    "Groups": Group,
    "Roles": Role,
    "Policies": ManagedPolicy,
    "InstanceProfiles": InstanceProfile,
    "Providers": OpenIdConnectProvider,
}
"""What the summary counts. Providers are those of OpenID Connect; there are none of SAML."""


class GetAccountAuthorizationDetailsRequest(PagedRequest):
    """The request of GetAccountAuthorizationDetails."""

    filter: Annotated[list[EntityType], at_most(100)] | None = None


class PolicyDetail(msgspec.Struct, rename="pascal", frozen=True):
    """An inline policy with its document."""

    policy_name: str
    policy_document: str


class UserDetail(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """A user with everything that belongs to it."""

    path: str
    user_name: str
    user_id: str
    arn: str
    create_date: float
    user_policy_list: list[PolicyDetail]
    group_list: list[str]
    attached_managed_policies: list[AttachedPolicy]
    permissions_boundary: AttachedPermissionsBoundary | None
    tags: list[Tag] | None


class GroupDetail(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """A group with everything that belongs to it."""

    path: str
    group_name: str
    group_id: str
    arn: str
    create_date: float
    group_policy_list: list[PolicyDetail]
    attached_managed_policies: list[AttachedPolicy]


class RoleDetail(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """A role with everything that belongs to it."""

    path: str
    role_name: str
    role_id: str
    arn: str
    create_date: float
    assume_role_policy_document: str
    instance_profile_list: list[InstanceProfileShape]
    role_policy_list: list[PolicyDetail]
    attached_managed_policies: list[AttachedPolicy]
    permissions_boundary: AttachedPermissionsBoundary | None
    tags: list[Tag] | None
    role_last_used: RoleLastUsed


class PolicyVersionDetail(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """A version of a managed policy with its document."""

    document: str
    version_id: str
    is_default_version: bool
    create_date: float


class ManagedPolicyDetail(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """A managed policy with its versions."""

    policy_name: str
    policy_id: str
    arn: str
    path: str
    default_version_id: str
    attachment_count: int
    permissions_boundary_usage_count: int
    is_attachable: bool = True
    description: str | None
    create_date: float
    update_date: float
    policy_version_list: list[PolicyVersionDetail]


class GetAccountAuthorizationDetailsResponse(PagedResponse, kw_only=True):
    """The response of GetAccountAuthorizationDetails; a page counts entities of all kinds together."""

    user_detail_list: list[UserDetail]
    group_detail_list: list[GroupDetail]
    role_detail_list: list[RoleDetail]
    policies: list[ManagedPolicyDetail]


class GetAccountSummaryRequest(Request):
    """The request of GetAccountSummary, which has no parameters."""


class GetAccountSummaryResponse(Response):
    """The response of GetAccountSummary."""

    summary_map: dict[str, int]


def get_account_authorization_details(
    context: Context, request: GetAccountAuthorizationDetailsRequest
) -> GetAccountAuthorizationDetailsResponse:
    """Return users, groups, roles, the account's own policies and AWS's that it uses, with all that belongs to them."""
    wanted = request.filter or list(EntityType)
    account = context.caller.account
    kinds: list[tuple[EntityType, type[Entity]]] = [
        (EntityType.USER, User),
        (EntityType.GROUP, Group),
        (EntityType.ROLE, Role),
        (EntityType.LOCAL_POLICY, ManagedPolicy),
    ]
    with context.read() as reader:
        found: list[Entity | AwsPolicy] = [
            entity for each, kind in kinds if each in wanted for entity in reader.entities(kind, account, "/", "", _ALL)
        ]
        if EntityType.AWS_POLICY in wanted:
            found += [each for each in AWS_POLICIES.values() if any(usage(reader, account, each.arn))]
        kept, more, marker = cut(f"Details {wanted}", request, sorted(found, key=_marker_of), _marker_of)
        policies = [
            _policy_detail(reader, each)
            if isinstance(each, ManagedPolicy)
            else _aws_policy_detail(reader, account, each)
            for each in kept
            if isinstance(each, ManagedPolicy | AwsPolicy)
        ]
        roles = [_role_detail(reader, each, context.now) for each in kept if isinstance(each, Role)]
    return GetAccountAuthorizationDetailsResponse(
        user_detail_list=[_user_detail(each) for each in kept if isinstance(each, User)],
        group_detail_list=[_group_detail(each) for each in kept if isinstance(each, Group)],
        role_detail_list=roles,
        policies=policies,
        is_truncated=more,
        marker=marker,
    )


def _marker_of(entity: Entity | AwsPolicy) -> str:
    kind = "aws-policy" if isinstance(entity, AwsPolicy) else entity.kind
    return f"{kind} {entity.name.lower()}"


def get_account_summary(context: Context, _request: GetAccountSummaryRequest) -> GetAccountSummaryResponse:
    """Count the account's entities."""
    account = context.caller.account
    with context.read() as reader:
        counts = {name: len(reader.entities(kind, account, "/", "", _ALL)) for name, kind in _COUNTED.items()}
    quotas = {"AccessKeysPerUserQuota": 2, "AttachedPoliciesPerUserQuota": 10, "VersionsPerPolicyQuota": 5}
    return GetAccountSummaryResponse(summary_map={**counts, "AccountMFAEnabled": 0, **quotas})


def _inline(holder: Holder) -> list[PolicyDetail]:
    return [PolicyDetail(policy.name, encoded(policy.document)) for policy in holder.inline]


def _user_detail(user: User) -> UserDetail:
    return UserDetail(
        path=user.path,
        user_name=user.name,
        user_id=user.unique_id,
        arn=user.arn,
        create_date=user.created_at,
        user_policy_list=_inline(user),
        group_list=list(user.groups),
        attached_managed_policies=attached_policies(user),
        permissions_boundary=show_boundary(user),
        tags=show_tags(user),
    )


def _group_detail(group: Group) -> GroupDetail:
    return GroupDetail(
        path=group.path,
        group_name=group.name,
        group_id=group.unique_id,
        arn=group.arn,
        create_date=group.created_at,
        group_policy_list=_inline(group),
        attached_managed_policies=attached_policies(group),
    )


def _role_detail(reader: Reader, role: Role, now: float) -> RoleDetail:
    return RoleDetail(
        path=role.path,
        role_name=role.name,
        role_id=role.unique_id,
        arn=role.arn,
        create_date=role.created_at,
        assume_role_policy_document=encoded(trust_policy(reader, role)),
        instance_profile_list=[list_profile(reader, each) for each in profiles_of(reader, role)],
        role_policy_list=_inline(role),
        attached_managed_policies=attached_policies(role),
        permissions_boundary=show_boundary(role),
        tags=show_tags(role),
        role_last_used=role_last_used(reader, role, now),
    )


def _policy_detail(reader: IdentityReader, policy: ManagedPolicy) -> ManagedPolicyDetail:
    attached, limits = usage(reader, policy.account, policy.arn)
    versions = [
        PolicyVersionDetail(
            document=encoded(each.document),
            version_id=each.version_id,
            is_default_version=each.number == policy.default_version,
            create_date=each.created_at,
        )
        for each in policy.versions
    ]
    return ManagedPolicyDetail(
        policy_name=policy.name,
        policy_id=policy.unique_id,
        arn=policy.arn,
        path=policy.path,
        default_version_id=f"v{policy.default_version}",
        attachment_count=attached,
        permissions_boundary_usage_count=limits,
        description=policy.description or None,
        create_date=policy.created_at,
        update_date=policy.updated_at,
        policy_version_list=versions,
    )


def _aws_policy_detail(reader: IdentityReader, account: str, policy: AwsPolicy) -> ManagedPolicyDetail:
    attached, limits = usage(reader, account, policy.arn)
    version = PolicyVersionDetail(
        document=encoded(policy.document), version_id="v1", is_default_version=True, create_date=policy.created_at
    )
    return ManagedPolicyDetail(
        policy_name=policy.name,
        policy_id=policy.policy_id,
        arn=policy.arn,
        path=policy.path,
        default_version_id="v1",
        attachment_count=attached,
        permissions_boundary_usage_count=limits,
        description=policy.description,
        create_date=policy.created_at,
        update_date=policy.created_at,
        policy_version_list=[version],
    )
