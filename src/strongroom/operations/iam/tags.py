"""Tags on users, roles, instance profiles, identity providers and managed policies."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace
from typing_extensions import override

from strongroom.iam.entities import InstanceProfile, Role, User
from strongroom.keys.names import folded
from strongroom.operations.condition_parameters import ConditionParameters, tag_pairs
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import change, merged_tags, named, required
from strongroom.operations.iam.managed_policies import change_policy, require_policy
from strongroom.operations.iam.shapes import (
    Arn,
    ExistingUserName,
    PagedRequest,
    PagedResponse,
    RoleName,
    Tag,
    TagKeyList,
    TagList,
    cut,
)
from strongroom.operations.shapes import Empty, Request

B = TypeVar("B", User, Role, InstanceProfile)
Pairs = tuple[tuple[str, str], ...]


class TagUserRequest(Request):
    """The request of TagUser."""

    user_name: ExistingUserName
    tags: TagList

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(tags=tag_pairs(self.tags))


class UntagUserRequest(Request):
    """The request of UntagUser."""

    user_name: ExistingUserName
    tag_keys: TagKeyList

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(tag_keys=self.tag_keys)


class ListUserTagsRequest(PagedRequest, kw_only=True):
    """The request of ListUserTags."""

    user_name: ExistingUserName


class TagRoleRequest(Request):
    """The request of TagRole."""

    role_name: RoleName
    tags: TagList

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(tags=tag_pairs(self.tags))


class UntagRoleRequest(Request):
    """The request of UntagRole."""

    role_name: RoleName
    tag_keys: TagKeyList

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(tag_keys=self.tag_keys)


class ListRoleTagsRequest(PagedRequest, kw_only=True):
    """The request of ListRoleTags."""

    role_name: RoleName


class TagPolicyRequest(Request):
    """The request of TagPolicy."""

    policy_arn: Arn
    tags: TagList

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(tags=tag_pairs(self.tags))


class UntagPolicyRequest(Request):
    """The request of UntagPolicy."""

    policy_arn: Arn
    tag_keys: TagKeyList

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(tag_keys=self.tag_keys)


class ListPolicyTagsRequest(PagedRequest, kw_only=True):
    """The request of ListPolicyTags."""

    policy_arn: Arn


class ListTagsResponse(PagedResponse, kw_only=True):
    """The response of every list of tags."""

    tags: list[Tag]


def put_tags(kind: type[B]) -> Callable[[Context, Any], Empty]:
    """Return the operation that tags a user, role or instance profile."""

    def put(context: Context, request: Any) -> Empty:  # noqa: ANN401 - one of three requests
        change(
            context,
            kind,
            named(request, kind),
            lambda _, entity: replace(entity, tags=merged_tags(entity.tags, request.tags)),
        )
        return Empty()

    return put


def remove_tags(kind: type[B]) -> Callable[[Context, Any], Empty]:
    """Return the operation that removes tags from a user, role or instance profile."""

    def remove(context: Context, request: Any) -> Empty:  # noqa: ANN401 - one of three requests
        change(
            context,
            kind,
            named(request, kind),
            lambda _, entity: replace(entity, tags=without_keys(entity.tags, request.tag_keys)),
        )
        return Empty()

    return remove


def list_tags(kind: type[B]) -> Callable[[Context, Any], ListTagsResponse]:
    """Return the operation that lists the tags of a user, role or instance profile."""

    def read(context: Context, request: Any) -> ListTagsResponse:  # noqa: ANN401 - one of three requests
        with context.read() as reader:
            entity = required(reader, kind, context.caller.account, named(request, kind))
        return tag_page(entity.arn, request, entity.tags)

    return read


def tag_policy(context: Context, request: TagPolicyRequest) -> Empty:
    """Tag a managed policy."""
    change_policy(
        context, request.policy_arn, lambda policy: replace(policy, tags=merged_tags(policy.tags, request.tags))
    )
    return Empty()


def untag_policy(context: Context, request: UntagPolicyRequest) -> Empty:
    """Remove tags from a managed policy."""
    change_policy(
        context, request.policy_arn, lambda policy: replace(policy, tags=without_keys(policy.tags, request.tag_keys))
    )
    return Empty()


def list_policy_tags(context: Context, request: ListPolicyTagsRequest) -> ListTagsResponse:
    """List the tags of a managed policy."""
    with context.read() as reader:
        policy = require_policy(reader, request.policy_arn, context.caller.account)
    return tag_page(request.policy_arn, request, () if policy is None else policy.tags)


def tag_page(name: str, request: PagedRequest, tags: Pairs) -> ListTagsResponse:
    """Return one page of the tags of what has a name."""
    kept, more, marker = cut(f"ListTags {name}", request, tags, lambda pair: pair[0])
    return ListTagsResponse(tags=[Tag(*pair) for pair in kept], is_truncated=more, marker=marker)


def without_keys(tags: Pairs, keys: Sequence[str]) -> Pairs:
    """Return tags without those of some keys, which are not case-sensitive."""
    gone = {folded(key) for key in keys}
    return tuple(pair for pair in tags if folded(pair[0]) not in gone)
