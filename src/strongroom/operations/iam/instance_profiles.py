"""Instance profiles, which hand a role to a virtual machine.

There are no virtual machines here: a profile is kept for the tools that make one beside each role.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from strongroom.arns import known_arn
from strongroom.errors import DeleteConflictException, LimitExceededException, NoSuchEntityException
from strongroom.iam.entities import EntityKind, InstanceProfile, Relation, Role
from strongroom.operations.condition_parameters import ConditionParameters, tag_pairs
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import (
    authorized,
    change,
    merged_tags,
    new_id,
    require_free,
    required,
    target_of,
)
from strongroom.operations.iam.roles import IN_PROFILE, trust_policy
from strongroom.operations.iam.shapes import (
    InstanceProfileName,
    PagedRequest,
    PagedResponse,
    Path,
    PathPrefix,
    RoleName,
    RoleShape,
    Tag,
    TagKeyList,
    TagList,
    cut,
    list_role,
    read_page,
    show_tags,
)
from strongroom.operations.shapes import Empty, Request, Response
from strongroom.operations.targets import Target
from strongroom.store.protocol import Transaction
from strongroom.store.scopes import AccountScope
from strongroom.store.subjects.identities import IdentityReader

_PASSED_TO = "ec2.amazonaws.com"


class CreateInstanceProfileRequest(Request):
    """The request of CreateInstanceProfile."""

    instance_profile_name: InstanceProfileName
    path: Path | None = None
    tags: TagList | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(tags=tag_pairs(self.tags))


class InstanceProfileShape(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """An instance profile in a response."""

    path: str
    instance_profile_name: str
    instance_profile_id: str
    arn: str
    create_date: float
    roles: list[RoleShape]
    tags: list[Tag] | None = None


class InstanceProfileResponse(Response):
    """The response of CreateInstanceProfile and GetInstanceProfile."""

    instance_profile: InstanceProfileShape


class InstanceProfileRequest(Request):
    """The request of actions on one instance profile that need only its name."""

    instance_profile_name: InstanceProfileName


class ListInstanceProfilesRequest(PagedRequest):
    """The request of ListInstanceProfiles."""

    path_prefix: PathPrefix | None = None


class ListInstanceProfilesForRoleRequest(PagedRequest, kw_only=True):
    """The request of ListInstanceProfilesForRole."""

    role_name: RoleName


class ListInstanceProfilesResponse(PagedResponse, kw_only=True):
    """The response of ListInstanceProfiles and ListInstanceProfilesForRole."""

    instance_profiles: list[InstanceProfileShape]


class RoleInProfileRequest(Request):
    """The request of AddRoleToInstanceProfile and RemoveRoleFromInstanceProfile."""

    instance_profile_name: InstanceProfileName
    role_name: RoleName


class TagInstanceProfileRequest(Request):
    """The request of TagInstanceProfile."""

    instance_profile_name: InstanceProfileName
    tags: TagList

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(tags=tag_pairs(self.tags))


class UntagInstanceProfileRequest(Request):
    """The request of UntagInstanceProfile."""

    instance_profile_name: InstanceProfileName
    tag_keys: TagKeyList

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(tag_keys=self.tag_keys)


class ListInstanceProfileTagsRequest(PagedRequest, kw_only=True):
    """The request of ListInstanceProfileTags."""

    instance_profile_name: InstanceProfileName


def create_instance_profile(context: Context, request: CreateInstanceProfileRequest) -> InstanceProfileResponse:
    """Make an instance profile without a role."""
    unique_id = new_id(EntityKind.INSTANCE_PROFILE, context.backends.entropy)

    def add(transaction: Transaction) -> InstanceProfile:
        require_free(transaction, InstanceProfile, context.caller.account, request.instance_profile_name)
        profile = InstanceProfile(
            account=context.caller.account,
            name=request.instance_profile_name,
            unique_id=unique_id,
            created_at=context.now,
            path=request.path or "/",
            partition=context.caller.partition,
            tags=merged_tags((), request.tags or ()),
        )
        transaction.put_entity(profile)
        return profile

    profile = context.backends.store.write(add, AccountScope(context.caller.account))
    return InstanceProfileResponse(instance_profile=_show(profile, []))


def get_instance_profile(context: Context, request: InstanceProfileRequest) -> InstanceProfileResponse:
    """Return an instance profile with its role."""
    with context.read() as reader:
        profile = required(reader, InstanceProfile, context.caller.account, request.instance_profile_name)
        return InstanceProfileResponse(instance_profile=_show(profile, _roles(reader, profile)))


def delete_instance_profile(context: Context, request: InstanceProfileRequest) -> Empty:
    """Delete an instance profile without a role."""

    def remove(transaction: Transaction) -> None:
        profile = authorized(context, transaction, InstanceProfile, request.instance_profile_name)
        if profile.role is not None:
            raise DeleteConflictException(IN_PROFILE)
        transaction.remove_entity(profile)

    context.backends.store.write(remove, AccountScope(context.caller.account))
    return Empty()


def list_instance_profiles(context: Context, request: ListInstanceProfilesRequest) -> ListInstanceProfilesResponse:
    """List the account's instance profiles by name."""
    prefix = request.path_prefix or "/"
    with context.read() as reader:
        profiles, more, marker = read_page(
            f"ListInstanceProfiles {prefix}",
            request,
            lambda after, limit: reader.entities(InstanceProfile, context.caller.account, prefix, after, limit),
            lambda profile: profile.name.lower(),
        )
        shown = [list_profile(reader, profile) for profile in profiles]
    return ListInstanceProfilesResponse(instance_profiles=shown, is_truncated=more, marker=marker)


def list_instance_profiles_for_role(
    context: Context, request: ListInstanceProfilesForRoleRequest
) -> ListInstanceProfilesResponse:
    """List the instance profiles that have a role, by name."""
    with context.read() as reader:
        role = required(reader, Role, context.caller.account, request.role_name)
        kept, more, marker = cut(
            f"ListInstanceProfilesForRole {role.name}",
            request,
            profiles_of(reader, role),
            lambda profile: profile.name.lower(),
        )
        shown = [list_profile(reader, profile) for profile in kept]
    return ListInstanceProfilesResponse(instance_profiles=shown, is_truncated=more, marker=marker)


def locate_add_role(context: Context, request: RoleInProfileRequest) -> Sequence[Target]:
    """Return the targets: the instance profile, and the role, which the caller must be allowed to pass on."""
    role = target_of(context, "iam:PassRole", Role, request.role_name)
    # IAM User Guide, "iam:AssociatedResourceArn": for this action, the instances are not known yet.
    instances = f"arn:{context.caller.partition}:ec2:*:{context.caller.account}:instance/*"
    passed = {"iam:passedtoservice": (_PASSED_TO,), "iam:associatedresourcearn": (instances,)}
    return (
        target_of(context, "iam:AddRoleToInstanceProfile", InstanceProfile, request.instance_profile_name),
        replace(role, claims={**role.claims, **passed}),
    )


def add_role_to_instance_profile(context: Context, request: RoleInProfileRequest) -> Empty:
    """Put a role in an instance profile that has none; raises LimitExceededException if it has one."""

    def with_role(transaction: Transaction, profile: InstanceProfile) -> InstanceProfile:
        role = authorized(context, transaction, Role, request.role_name)
        if profile.role is not None:
            raise LimitExceededException("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
        return replace(profile, role=role.arn)

    change(context, InstanceProfile, request.instance_profile_name, with_role)
    return Empty()


def remove_role_from_instance_profile(context: Context, request: RoleInProfileRequest) -> Empty:
    """Take the role out of an instance profile; raises NoSuchEntityException if it has another one, or none."""

    def without_role(transaction: Transaction, profile: InstanceProfile) -> InstanceProfile:
        role = required(transaction, Role, context.caller.account, request.role_name)
        if profile.role != role.arn:
            raise NoSuchEntityException(f"The role with name {role.name} cannot be found in {profile.arn}.")
        return replace(profile, role=None)

    change(context, InstanceProfile, request.instance_profile_name, without_role)
    return Empty()


def profiles_of(reader: IdentityReader, role: Role) -> list[InstanceProfile]:
    """Return the instance profiles that have a role, ordered by name in lower case."""
    linked = reader.linked(role.account, role.arn)
    return [
        required(reader, InstanceProfile, role.account, name)
        for relation, _, name in linked
        if relation is Relation.IN_PROFILE
    ]


def list_profile(reader: IdentityReader, profile: InstanceProfile) -> InstanceProfileShape:
    """Return an instance profile as lists show it: without tags."""
    return replace(_show(profile, _roles(reader, profile)), tags=None)


def _show(profile: InstanceProfile, roles: list[RoleShape]) -> InstanceProfileShape:
    return InstanceProfileShape(
        path=profile.path,
        instance_profile_name=profile.name,
        instance_profile_id=profile.unique_id,
        arn=profile.arn,
        create_date=profile.created_at,
        roles=roles,
        tags=show_tags(profile),
    )


def _roles(reader: IdentityReader, profile: InstanceProfile) -> list[RoleShape]:
    if profile.role is None:
        return []
    # A role keeps its name, and cannot be deleted while a profile has it.
    role = required(reader, Role, profile.account, known_arn(profile.role).resource_name)
    return [list_role(role, trust_policy(reader, role))]
