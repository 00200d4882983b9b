"""Which managed policies are attached to which users, groups and roles."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from strongroom.arns import account_in, known_arn
from strongroom.errors import LimitExceededException, NoSuchEntityException
from strongroom.iam.entities import EntityKind, Group, Holder, Relation, Role, User
from strongroom.operations.condition_parameters import ConditionParameters
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import change, named, required
from strongroom.operations.iam.managed_policies import PolicyUsage, require_policy
from strongroom.operations.iam.shapes import (
    Arn,
    GroupName,
    PagedRequest,
    PagedResponse,
    Path,
    PolicyPath,
    RoleName,
    UserName,
    cut,
)
from strongroom.operations.shapes import Empty, Request
from strongroom.store.protocol import Transaction
from strongroom.store.subjects.identities import IdentityReader

H = TypeVar("H", User, Group, Role)

_MAX_ATTACHED = 10


class EntityType(StrEnum):
    """Kinds of entities, as filters name them."""

    USER = "User"
    ROLE = "Role"
    GROUP = "Group"
    LOCAL_POLICY = "LocalManagedPolicy"
    AWS_POLICY = "AWSManagedPolicy"


class UserAttachmentRequest(Request):
    """The request of AttachUserPolicy and DetachUserPolicy."""

    user_name: UserName
    policy_arn: Arn

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(policy_arn=self.policy_arn)


class GroupAttachmentRequest(Request):
    """The request of AttachGroupPolicy and DetachGroupPolicy."""

    group_name: GroupName
    policy_arn: Arn

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(policy_arn=self.policy_arn)


class RoleAttachmentRequest(Request):
    """The request of AttachRolePolicy and DetachRolePolicy."""

    role_name: RoleName
    policy_arn: Arn

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(policy_arn=self.policy_arn)


class ListAttachedUserPoliciesRequest(PagedRequest, kw_only=True):
    """The request of ListAttachedUserPolicies."""

    user_name: UserName
    path_prefix: PolicyPath | None = None


class ListAttachedGroupPoliciesRequest(PagedRequest, kw_only=True):
    """The request of ListAttachedGroupPolicies."""

    group_name: GroupName
    path_prefix: PolicyPath | None = None


class ListAttachedRolePoliciesRequest(PagedRequest, kw_only=True):
    """The request of ListAttachedRolePolicies."""

    role_name: RoleName
    path_prefix: PolicyPath | None = None


class AttachedPolicy(msgspec.Struct, rename="pascal", frozen=True):
    """A managed policy that is attached."""

    policy_name: str
    policy_arn: str


class ListAttachedPoliciesResponse(PagedResponse, kw_only=True):
    """The response of ListAttachedUserPolicies, ListAttachedGroupPolicies and ListAttachedRolePolicies."""

    attached_policies: list[AttachedPolicy]


class ListEntitiesForPolicyRequest(PagedRequest, kw_only=True):
    """The request of ListEntitiesForPolicy."""

    policy_arn: Arn
    entity_filter: EntityType | None = None
    path_prefix: Path | None = None
    policy_usage_filter: PolicyUsage | None = None


class PolicyUser(msgspec.Struct, rename="pascal", frozen=True):
    """A user that has a policy."""

    user_name: str
    user_id: str


class PolicyGroup(msgspec.Struct, rename="pascal", frozen=True):
    """A group that has a policy."""

    group_name: str
    group_id: str


class PolicyRole(msgspec.Struct, rename="pascal", frozen=True):
    """A role that has a policy."""

    role_name: str
    role_id: str


class ListEntitiesForPolicyResponse(PagedResponse, kw_only=True):
    """The response of ListEntitiesForPolicy."""

    policy_groups: list[PolicyGroup]
    policy_users: list[PolicyUser]
    policy_roles: list[PolicyRole]


def attach(kind: type[H]) -> Callable[[Context, Any], Empty]:
    """Return the operation that attaches a managed policy; attaching it again is no error."""

    def run(context: Context, request: Any) -> Empty:  # noqa: ANN401 - one of three requests
        arn: str = request.policy_arn

        def attached(transaction: Transaction, holder: H) -> H:
            require_policy(transaction, arn, context.caller.account)
            if arn in holder.attached:
                return holder
            if len(holder.attached) >= _MAX_ATTACHED:
                quota = f"PoliciesPer{holder.kind.value.capitalize()}"
                raise LimitExceededException(f"Cannot exceed quota for {quota}: {_MAX_ATTACHED}")
            return replace(holder, attached=(*holder.attached, arn))

        change(context, kind, named(request, kind), attached)
        return Empty()

    return run


def detach(kind: type[H]) -> Callable[[Context, Any], Empty]:
    """Return the operation that detaches a managed policy."""

    def run(context: Context, request: Any) -> Empty:  # noqa: ANN401 - one of three requests
        arn: str = request.policy_arn

        def detached(_: Transaction, holder: H) -> H:
            if arn not in holder.attached:
                raise NoSuchEntityException(f"Policy {arn} was not found.")
            return replace(holder, attached=tuple(each for each in holder.attached if each != arn))

        change(context, kind, named(request, kind), detached)
        return Empty()

    return run


def list_attached(kind: type[H]) -> Callable[[Context, Any], ListAttachedPoliciesResponse]:
    """Return the operation that lists the managed policies of a user, group or role."""

    def run(context: Context, request: Any) -> ListAttachedPoliciesResponse:  # noqa: ANN401 - one of three requests
        with context.read() as reader:
            holder = required(reader, kind, context.caller.account, named(request, kind))
        prefix = request.path_prefix or "/"
        shown = [
            policy
            for policy in attached_policies(holder)
            if known_arn(policy.policy_arn).resource_path.startswith(prefix)
        ]
        kept, more, marker = cut(
            f"ListAttached {holder.unique_id}",
            request,
            sorted(shown, key=_owned_name),
            _owned_name,
        )
        return ListAttachedPoliciesResponse(attached_policies=kept, is_truncated=more, marker=marker)

    return run


def attached_policies(holder: Holder) -> list[AttachedPolicy]:
    """Return the managed policies of a user, group or role as responses show them."""
    return [AttachedPolicy(known_arn(arn).resource_name, arn) for arn in holder.attached]


def list_entities_for_policy(context: Context, request: ListEntitiesForPolicyRequest) -> ListEntitiesForPolicyResponse:
    """List the users, groups and roles that have a policy attached, or as a permissions boundary."""
    with context.read() as reader:
        require_policy(reader, request.policy_arn, context.caller.account)
        found = [
            entity
            for entity in _holders_of_policy(reader, context.caller.account, request)
            if _matches_filter(entity, request)
        ]
    kept, more, marker = cut(f"ListEntities {request.policy_arn}", request, found, _marker_of)
    return ListEntitiesForPolicyResponse(
        policy_groups=[PolicyGroup(each.name, each.unique_id) for each in kept if isinstance(each, Group)],
        policy_users=[PolicyUser(each.name, each.unique_id) for each in kept if isinstance(each, User)],
        policy_roles=[PolicyRole(each.name, each.unique_id) for each in kept if isinstance(each, Role)],
        is_truncated=more,
        marker=marker,
    )


_TYPES: dict[EntityKind, type[User | Group | Role]] = {
    EntityKind.USER: User,
    EntityKind.GROUP: Group,
    EntityKind.ROLE: Role,
}


def _holders_of_policy(reader: IdentityReader, account: str, request: ListEntitiesForPolicyRequest) -> list[Holder]:
    """Return the entities that use a policy in the way asked for, each once."""
    usage = {PolicyUsage.PERMISSIONS: Relation.ATTACHED, PolicyUsage.BOUNDARY: Relation.BOUNDARY}
    wanted = None if request.policy_usage_filter is None else usage[request.policy_usage_filter]
    found = {
        (kind, name): required(reader, _TYPES[kind], account, name)
        for relation, kind, name in reader.linked(account, request.policy_arn)
        if wanted is None or relation is wanted
    }
    return sorted(found.values(), key=_marker_of)


def _matches_filter(entity: Holder, request: ListEntitiesForPolicyRequest) -> bool:
    kinds = {EntityType.USER: User, EntityType.GROUP: Group, EntityType.ROLE: Role}
    if request.entity_filter is not None and not isinstance(entity, kinds.get(request.entity_filter, ())):
        return False
    return entity.path.startswith(request.path_prefix or "/")


def _marker_of(entity: Holder) -> str:
    return f"{entity.kind} {entity.name.lower()}"


def _owned_name(policy: AttachedPolicy) -> str:
    """Return a policy's name and account, which identify it; its path would be too long for a marker."""
    return f"{policy.policy_name} {account_in(policy.policy_arn)}"
