"""Inline policies of users, groups and roles."""

from collections.abc import Callable
from typing import Any, TypeVar

from msgspec.structs import replace

from strongroom.errors import NoSuchEntityException
from strongroom.iam import PolicyKind
from strongroom.iam.entities import Group, InlinePolicy, Role, User
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import accepted_document, change, named, require_inline_size, required
from strongroom.operations.iam.shapes import (
    ExistingUserName,
    GroupName,
    PagedRequest,
    PagedResponse,
    PolicyName,
    PolicyText,
    RoleName,
    cut,
    encoded,
)
from strongroom.operations.shapes import Empty, Request, Response
from strongroom.store.protocol import Transaction

H = TypeVar("H", User, Group, Role)


class PutUserPolicyRequest(Request):
    """The request of PutUserPolicy."""

    user_name: ExistingUserName
    policy_name: PolicyName
    policy_document: PolicyText


class PutGroupPolicyRequest(Request):
    """The request of PutGroupPolicy."""

    group_name: GroupName
    policy_name: PolicyName
    policy_document: PolicyText


class PutRolePolicyRequest(Request):
    """The request of PutRolePolicy."""

    role_name: RoleName
    policy_name: PolicyName
    policy_document: PolicyText


class UserPolicyRequest(Request):
    """The request of GetUserPolicy and DeleteUserPolicy."""

    user_name: ExistingUserName
    policy_name: PolicyName


class GroupPolicyRequest(Request):
    """The request of GetGroupPolicy and DeleteGroupPolicy."""

    group_name: GroupName
    policy_name: PolicyName


class RolePolicyRequest(Request):
    """The request of GetRolePolicy and DeleteRolePolicy."""

    role_name: RoleName
    policy_name: PolicyName


class GetUserPolicyResponse(Response):
    """The response of GetUserPolicy."""

    user_name: str
    policy_name: str
    policy_document: str


class GetGroupPolicyResponse(Response):
    """The response of GetGroupPolicy."""

    group_name: str
    policy_name: str
    policy_document: str


class GetRolePolicyResponse(Response):
    """The response of GetRolePolicy."""

    role_name: str
    policy_name: str
    policy_document: str


class ListUserPoliciesRequest(PagedRequest, kw_only=True):
    """The request of ListUserPolicies."""

    user_name: ExistingUserName


class ListGroupPoliciesRequest(PagedRequest, kw_only=True):
    """The request of ListGroupPolicies."""

    group_name: GroupName


class ListRolePoliciesRequest(PagedRequest, kw_only=True):
    """The request of ListRolePolicies."""

    role_name: RoleName


class ListInlinePoliciesResponse(PagedResponse, kw_only=True):
    """The response of ListUserPolicies, ListGroupPolicies and ListRolePolicies."""

    policy_names: list[str]


def put_policy(kind: type[H]) -> Callable[[Context, Any], Empty]:
    """Return the operation that adds an inline policy to a user, group or role, or replaces one of the same name."""

    def put(context: Context, request: Any) -> Empty:  # noqa: ANN401 - one of three requests
        accepted_document(request.policy_document, PolicyKind.IDENTITY)

        def given(_: Transaction, holder: H) -> H:
            after = replace(holder, inline=_with_policy(holder.inline, request.policy_name, request.policy_document))
            require_inline_size(after)
            return after

        change(context, kind, named(request, kind), given)
        return Empty()

    return put


def get_user_policy(context: Context, request: UserPolicyRequest) -> GetUserPolicyResponse:
    """Show one inline policy of a user."""
    return GetUserPolicyResponse(*_response_fields(context, request, User))


def get_group_policy(context: Context, request: GroupPolicyRequest) -> GetGroupPolicyResponse:
    """Show one inline policy of a group."""
    return GetGroupPolicyResponse(*_response_fields(context, request, Group))


def get_role_policy(context: Context, request: RolePolicyRequest) -> GetRolePolicyResponse:
    """Show one inline policy of a role."""
    return GetRolePolicyResponse(*_response_fields(context, request, Role))


def delete_policy(kind: type[H]) -> Callable[[Context, Any], Empty]:
    """Return the operation that deletes an inline policy."""

    def delete(context: Context, request: Any) -> Empty:  # noqa: ANN401 - one of three requests
        def without(_: Transaction, holder: H) -> H:
            gone = _policy(holder, request.policy_name)
            return replace(holder, inline=tuple(policy for policy in holder.inline if policy is not gone))

        change(context, kind, named(request, kind), without)
        return Empty()

    return delete


def list_policies(kind: type[H]) -> Callable[[Context, Any], ListInlinePoliciesResponse]:
    """Return the operation that lists the names of inline policies."""

    def read(context: Context, request: Any) -> ListInlinePoliciesResponse:  # noqa: ANN401 - one of three requests
        with context.read() as reader:
            holder = required(reader, kind, context.caller.account, named(request, kind))
        names = [policy.name for policy in holder.inline]
        kept, more, marker = cut(f"ListInline {holder.unique_id}", request, names, str)
        return ListInlinePoliciesResponse(policy_names=kept, is_truncated=more, marker=marker)

    return read


def _response_fields(
    context: Context, request: UserPolicyRequest | GroupPolicyRequest | RolePolicyRequest, kind: type[H]
) -> tuple[str, str, str]:
    """Return the entity's name, the policy's name and its document as responses show them."""
    with context.read() as reader:
        holder = required(reader, kind, context.caller.account, named(request, kind))
    policy = _policy(holder, request.policy_name)
    return holder.name, policy.name, encoded(policy.document)


def _with_policy(policies: tuple[InlinePolicy, ...], name: str, document: str) -> tuple[InlinePolicy, ...]:
    others = [policy for policy in policies if policy.name != name]
    return tuple(sorted([*others, InlinePolicy(name, document)], key=lambda policy: policy.name))


def _policy(holder: User | Group | Role, name: str) -> InlinePolicy:
    for policy in holder.inline:
        if policy.name == name:
            return policy
    raise NoSuchEntityException(f"The {holder.kind} policy with name {name} cannot be found.")
