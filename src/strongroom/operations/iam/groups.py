"""Groups and their members."""

from collections.abc import Sequence

from msgspec.structs import replace

from strongroom.errors import DeleteConflictException, LimitExceededException
from strongroom.iam.entities import EntityKind, Group, Relation, User
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import (
    authorized,
    change,
    new_id,
    renamed_arn,
    require_free,
    required,
    target_of,
)
from strongroom.operations.iam.shapes import (
    ExistingUserName,
    GroupName,
    GroupShape,
    PagedRequest,
    PagedResponse,
    Path,
    PathPrefix,
    UserShape,
    cut,
    read_page,
    show_group,
    show_user,
)
from strongroom.operations.shapes import Empty, Request, Response
from strongroom.operations.targets import Target
from strongroom.store.protocol import Transaction
from strongroom.store.scopes import AccountScope
from strongroom.store.subjects.identities import IdentityReader

_MAX_GROUPS = 10


class CreateGroupRequest(Request):
    """The request of CreateGroup."""

    group_name: GroupName
    path: Path | None = None


class CreateGroupResponse(Response):
    """The response of CreateGroup."""

    group: GroupShape


class GetGroupRequest(PagedRequest, kw_only=True):
    """The request of GetGroup."""

    group_name: GroupName


class GetGroupResponse(PagedResponse, kw_only=True):
    """The response of GetGroup: the group, and a page of its members."""

    group: GroupShape
    users: list[UserShape]


class ListGroupsRequest(PagedRequest):
    """The request of ListGroups."""

    path_prefix: PathPrefix | None = None


class ListGroupsForUserRequest(PagedRequest, kw_only=True):
    """The request of ListGroupsForUser."""

    user_name: ExistingUserName


class ListGroupsResponse(PagedResponse, kw_only=True):
    """The response of ListGroups and ListGroupsForUser."""

    groups: list[GroupShape]


class UpdateGroupRequest(Request):
    """The request of UpdateGroup."""

    group_name: GroupName
    new_path: Path | None = None
    new_group_name: GroupName | None = None


class GroupRequest(Request):
    """The request of DeleteGroup."""

    group_name: GroupName


class MembershipRequest(Request):
    """The request of AddUserToGroup and RemoveUserFromGroup."""

    group_name: GroupName
    user_name: ExistingUserName


def create_group(context: Context, request: CreateGroupRequest) -> CreateGroupResponse:
    """Make a group."""
    unique_id = new_id(EntityKind.GROUP, context.backends.entropy)

    def add(transaction: Transaction) -> Group:
        require_free(transaction, Group, context.caller.account, request.group_name)
        group = Group(
            account=context.caller.account,
            name=request.group_name,
            unique_id=unique_id,
            created_at=context.now,
            path=request.path or "/",
            partition=context.caller.partition,
        )
        transaction.put_entity(group)
        return group

    group = context.backends.store.write(add, AccountScope(context.caller.account))
    return CreateGroupResponse(group=show_group(group))


def get_group(context: Context, request: GetGroupRequest) -> GetGroupResponse:
    """Return a group and a page of its members."""
    with context.read() as reader:
        group = required(reader, Group, context.caller.account, request.group_name)
        users, more, marker = cut(
            f"GetGroup {group.name}", request, members(reader, group), lambda user: user.name.lower()
        )
    return GetGroupResponse(
        group=show_group(group), users=[show_user(user) for user in users], is_truncated=more, marker=marker
    )


def list_groups(context: Context, request: ListGroupsRequest) -> ListGroupsResponse:
    """List the account's groups by name."""
    prefix = request.path_prefix or "/"
    with context.read() as reader:
        groups, more, marker = read_page(
            f"ListGroups {prefix}",
            request,
            lambda after, limit: reader.entities(Group, context.caller.account, prefix, after, limit),
            lambda group: group.name.lower(),
        )
    return ListGroupsResponse(groups=[show_group(group) for group in groups], is_truncated=more, marker=marker)


def list_groups_for_user(context: Context, request: ListGroupsForUserRequest) -> ListGroupsResponse:
    """List the groups a user is in."""
    account = context.caller.account
    with context.read() as reader:
        user = required(reader, User, account, request.user_name)
        groups = [required(reader, Group, account, name) for name in sorted(user.groups, key=str.lower)]
    kept, more, marker = cut(f"ListGroupsForUser {user.name}", request, groups, lambda group: group.name.lower())
    return ListGroupsResponse(groups=[show_group(group) for group in kept], is_truncated=more, marker=marker)


def locate_update_group(context: Context, request: UpdateGroupRequest) -> Sequence[Target]:
    """Return the targets: the group under its present and under its new ARN."""
    now = target_of(context, "iam:UpdateGroup", Group, request.group_name)
    return now, replace(now, resource=renamed_arn(now.resource, request.new_group_name, request.new_path))


def update_group(context: Context, request: UpdateGroupRequest) -> Empty:
    """Give a group another name or path; its members stay."""

    def rename(transaction: Transaction) -> None:
        group = authorized(context, transaction, Group, request.group_name)
        name = request.new_group_name or group.name
        if name.lower() != group.name.lower():
            require_free(transaction, Group, group.account, name)
        for user in members(transaction, group):
            groups = tuple(name if each == group.name else each for each in user.groups)
            transaction.put_entity(replace(user, groups=groups), user)
        transaction.put_entity(replace(group, name=name, path=request.new_path or group.path), group)

    context.backends.store.write(rename, AccountScope(context.caller.account))
    return Empty()


def delete_group(context: Context, request: GroupRequest) -> Empty:
    """Delete a group that has neither members nor policies left."""

    def remove(transaction: Transaction) -> None:
        group = authorized(context, transaction, Group, request.group_name)
        held = [
            ("must remove users from group first", members(transaction, group)),
            ("must delete policies first", group.inline),
            ("must detach all policies first", group.attached),
        ]
        for what, still in held:
            if still:
                raise DeleteConflictException(f"Cannot delete entity, {what}.")
        transaction.remove_entity(group)

    context.backends.store.write(remove, AccountScope(context.caller.account))
    return Empty()


def add_user_to_group(context: Context, request: MembershipRequest) -> Empty:
    """Add a user to a group; a user who is in it already is no error."""

    def joined(transaction: Transaction, user: User) -> User:
        group = authorized(context, transaction, Group, request.group_name)
        if group.name in user.groups:
            return user
        if len(user.groups) >= _MAX_GROUPS:
            raise LimitExceededException(f"Cannot exceed quota for GroupsPerUser: {_MAX_GROUPS}")
        return replace(user, groups=(*user.groups, group.name))

    change(context, User, request.user_name, joined)
    return Empty()


def remove_user_from_group(context: Context, request: MembershipRequest) -> Empty:
    """Remove a user from a group; a user who is not in it is no error."""

    def left(transaction: Transaction, user: User) -> User:
        group = authorized(context, transaction, Group, request.group_name)
        return replace(user, groups=tuple(name for name in user.groups if name != group.name))

    change(context, User, request.user_name, left)
    return Empty()


def members(reader: IdentityReader, group: Group) -> list[User]:
    """Return the users in a group."""
    linked = reader.linked(group.account, group.name)
    return [required(reader, User, group.account, name) for relation, _, name in linked if relation is Relation.MEMBER]
