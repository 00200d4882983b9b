"""Managed policies."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from strongroom.arns import parse_arn
from strongroom.errors import (
    AccessDeniedException,
    DeleteConflictException,
    EntityAlreadyExistsException,
    NoSuchEntityException,
)
from strongroom.iam import PolicyKind
from strongroom.iam.aws_managed_policies import AWS_POLICIES, AwsPolicy
from strongroom.iam.entities import EntityKind, ManagedPolicy, PolicyVersion, Relation
from strongroom.operations.condition_parameters import ConditionParameters, tag_pairs
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import (
    MAX_MANAGED_POLICY,
    accepted_document,
    arn_of,
    merged_tags,
    new_id,
    require_size,
)
from strongroom.operations.iam.shapes import (
    Arn,
    PagedRequest,
    PagedResponse,
    PolicyDescription,
    PolicyName,
    PolicyPath,
    PolicyText,
    Tag,
    TagList,
    cut,
    show_tags,
)
from strongroom.operations.shapes import Empty, Request, Response
from strongroom.operations.targets import Target
from strongroom.store.protocol import Transaction
from strongroom.store.scopes import AccountScope
from strongroom.store.subjects.identities import IdentityReader

_ALL = 1_000_000
_AWS = "arn:aws:iam::aws:policy/"


class PolicyScope(StrEnum):
    """Whose policies ListPolicies lists."""

    ALL = "All"
    AWS = "AWS"
    LOCAL = "Local"


class PolicyUsage(StrEnum):
    """What a policy is used for."""

    PERMISSIONS = "PermissionsPolicy"
    BOUNDARY = "PermissionsBoundary"


class CreatePolicyRequest(Request):
    """The request of CreatePolicy."""

    policy_name: PolicyName
    policy_document: PolicyText
    path: PolicyPath | None = None
    description: PolicyDescription | None = None
    tags: TagList | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(tags=tag_pairs(self.tags))


class PolicyShape(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """A managed policy in a response."""

    policy_name: str
    policy_id: str
    arn: str
    path: str
    default_version_id: str
    attachment_count: int = 0
    permissions_boundary_usage_count: int = 0
    is_attachable: bool = True
    description: str | None = None
    create_date: float
    update_date: float
    tags: list[Tag] | None = None


class PolicyResponse(Response):
    """The response of CreatePolicy and GetPolicy."""

    policy: PolicyShape


class PolicyRequest(Request):
    """The request of actions on one policy that need only its ARN."""

    policy_arn: Arn


class ListPoliciesRequest(PagedRequest):
    """The request of ListPolicies."""

    scope: PolicyScope = PolicyScope.ALL
    only_attached: bool = False
    path_prefix: PolicyPath | None = None
    policy_usage_filter: PolicyUsage | None = None


class ListPoliciesResponse(PagedResponse, kw_only=True):
    """The response of ListPolicies."""

    policies: list[PolicyShape]


class NamesPolicy(Protocol):
    """A request with the ARN of a managed policy."""

    @property
    def policy_arn(self) -> str:
        """The policy's ARN."""


def on_policy(action: str) -> Callable[[Context, NamesPolicy], Sequence[Target]]:
    """Return the locator of requests that name a managed policy by its ARN."""

    def locate(context: Context, request: NamesPolicy) -> Sequence[Target]:
        with context.read() as reader:
            policy = _policy_called(reader, request.policy_arn, context.caller.account)
        return (Target(action, request.policy_arn, tags=() if policy is None else policy.tags),)

    return locate


def require_policy(reader: IdentityReader, arn: str, account: str) -> ManagedPolicy | None:
    """Return a policy of an account, None for an AWS managed policy; raises NoSuchEntityException."""
    if arn in AWS_POLICIES:
        return None
    policy = _policy_called(reader, arn, account)
    if policy is None or policy.arn != arn:
        raise NoSuchEntityException(f"Policy {arn} does not exist or is not attachable.")
    return policy


def change_policy(context: Context, arn: str, transition: Callable[[ManagedPolicy], ManagedPolicy]) -> ManagedPolicy:
    """Change a policy of the account durably and return it as it is now.

    ``transition`` may be run again, so it must have no effect but its result.
    Raises NoSuchEntityException, and AccessDeniedException for an AWS managed policy.
    """
    if arn.startswith(_AWS):
        raise AccessDeniedException(f"The policy {arn} belongs to AWS and cannot be changed.")

    def change(transaction: Transaction) -> ManagedPolicy:
        policy = found_policy(transaction, arn, context.caller.account)
        after = transition(policy)
        transaction.put_entity(after, policy)
        return after

    return context.backends.store.write(change, AccountScope(context.caller.account))


def create_policy(context: Context, request: CreatePolicyRequest) -> PolicyResponse:
    """Make a managed policy; its first version is the default."""
    accept(request.policy_document)
    unique_id = new_id(EntityKind.POLICY, context.backends.entropy)

    def add(transaction: Transaction) -> ManagedPolicy:
        if transaction.entity(ManagedPolicy, context.caller.account, request.policy_name) is not None:
            raise EntityAlreadyExistsException(
                f"A policy called {request.policy_name} already exists. Duplicate names are not allowed."
            )
        policy = ManagedPolicy(
            account=context.caller.account,
            name=request.policy_name,
            unique_id=unique_id,
            created_at=context.now,
            updated_at=context.now,
            path=request.path or "/",
            partition=context.caller.partition,
            tags=merged_tags((), request.tags or ()),
            versions=(PolicyVersion(1, request.policy_document, context.now),),
            description=request.description or "",
        )
        transaction.put_entity(policy)
        return policy

    policy = context.backends.store.write(add, AccountScope(context.caller.account))
    return PolicyResponse(policy=_shape_of(policy))


def get_policy(context: Context, request: PolicyRequest) -> PolicyResponse:
    """Return a managed policy and how often it is used."""
    if request.policy_arn in AWS_POLICIES:
        with context.read() as reader:
            return PolicyResponse(policy=_aws_shown(AWS_POLICIES[request.policy_arn], reader, context.caller.account))
    with context.read() as reader:
        return PolicyResponse(
            policy=_shape_of(found_policy(reader, request.policy_arn, context.caller.account), reader)
        )


def list_policies(context: Context, request: ListPoliciesRequest) -> ListPoliciesResponse:
    """List AWS's managed policies and the account's, by name."""
    account, prefix = context.caller.account, request.path_prefix or "/"
    found: list[PolicyShape] = []
    with context.read() as reader:
        if request.scope is not PolicyScope.LOCAL:
            found += [_aws_shown(each, reader, account) for each in AWS_POLICIES.values()]
        if request.scope is not PolicyScope.AWS:
            found += [_shape_of(each, reader) for each in reader.entities(ManagedPolicy, account, "/", "", _ALL)]
    kept = [each for each in found if each.path.startswith(prefix) and _is_used(each, request)]
    scope = f"ListPolicies {request.scope} {request.only_attached} {prefix}"
    policies, more, marker = cut(scope, request, sorted(kept, key=_marker_of), _marker_of)
    listed = [replace(each, description=None, tags=None) for each in policies]
    return ListPoliciesResponse(policies=listed, is_truncated=more, marker=marker)


def delete_policy(context: Context, request: PolicyRequest) -> Empty:
    """Delete a policy that nothing uses and that has no version but its default."""
    if request.policy_arn.startswith(_AWS):
        raise AccessDeniedException(f"The policy {request.policy_arn} belongs to AWS and cannot be changed.")

    def remove(transaction: Transaction) -> None:
        policy = found_policy(transaction, request.policy_arn, context.caller.account)
        if transaction.linked(policy.account, policy.arn):
            raise DeleteConflictException("Cannot delete a policy attached to entities.")
        if len(policy.versions) > 1:
            raise DeleteConflictException(
                "This policy has more than one version. Before you delete a policy, you must delete the policy's "
                "versions. The default version is deleted with the policy."
            )
        transaction.remove_entity(policy)

    context.backends.store.write(remove, AccountScope(context.caller.account))
    return Empty()


def locate_create_policy(context: Context, request: CreatePolicyRequest) -> Sequence[Target]:
    """Return the targets: the new policy, and the same for iam:TagPolicy if the request has tags."""
    arn = arn_of(context, EntityKind.POLICY, request.policy_name, request.path or "/")
    create = Target("iam:CreatePolicy", arn)
    return (create, Target("iam:TagPolicy", arn)) if request.tags else (create,)


def accept(document: str) -> None:
    """Refuse an invalid or too large document; raises MalformedPolicyDocumentException, LimitExceededException."""
    accepted_document(document, PolicyKind.IDENTITY, managed=True)
    require_size(document, MAX_MANAGED_POLICY)


def found_policy(reader: IdentityReader, arn: str, account: str) -> ManagedPolicy:
    """Return a policy of an account by its ARN; raises NoSuchEntityException."""
    policy = _policy_called(reader, arn, account)
    if policy is None or policy.arn != arn:
        raise NoSuchEntityException(f"Policy {arn} was not found.")
    return policy


def _policy_called(reader: IdentityReader, arn: str, account: str) -> ManagedPolicy | None:
    """Return the policy of an account that has the name in an ARN; its path, and so its ARN, can be another."""
    parsed = parse_arn(arn)
    return None if parsed is None else reader.entity(ManagedPolicy, account, parsed.resource_name)


def _marker_of(shape: PolicyShape) -> str:
    return f"{shape.policy_name.lower()} {shape.policy_id}"


def _is_used(shape: PolicyShape, request: ListPoliciesRequest) -> bool:
    counts = {
        PolicyUsage.PERMISSIONS: shape.attachment_count,
        PolicyUsage.BOUNDARY: shape.permissions_boundary_usage_count,
    }
    if request.policy_usage_filter is not None:
        return counts[request.policy_usage_filter] > 0
    return not request.only_attached or any(counts.values())


def _shape_of(policy: ManagedPolicy, reader: IdentityReader | None = None) -> PolicyShape:
    attached, limits = (0, 0) if reader is None else usage(reader, policy.account, policy.arn)
    return PolicyShape(
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
        tags=show_tags(policy),
    )


def _aws_shown(policy: AwsPolicy, reader: IdentityReader, account: str) -> PolicyShape:
    attached, limits = usage(reader, account, policy.arn)
    return PolicyShape(
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
    )


def usage(reader: IdentityReader, account: str, arn: str) -> tuple[int, int]:
    """Return how many users, groups and roles have a policy attached, and how many have it as their boundary."""
    relations = [relation for relation, _, _ in reader.linked(account, arn)]
    return relations.count(Relation.ATTACHED), relations.count(Relation.BOUNDARY)
