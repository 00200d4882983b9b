"""Users."""

from collections.abc import Sequence

from msgspec.structs import replace
from typing_extensions import override

from strongroom.errors import DeleteConflictException
from strongroom.iam import PrincipalKind
from strongroom.iam.entities import EntityKind, User
from strongroom.operations.condition_parameters import ConditionParameters, tag_pairs
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import (
    authorized,
    merged_tags,
    new_id,
    renamed_arn,
    require_free,
    require_name,
    required,
    required_account,
    target_of,
)
from strongroom.operations.iam.managed_policies import require_policy
from strongroom.operations.iam.shapes import (
    Arn,
    ExistingUserName,
    PagedRequest,
    PagedResponse,
    Path,
    PathPrefix,
    TagList,
    UserName,
    UserShape,
    list_user,
    read_page,
    show_user,
)
from strongroom.operations.shapes import Empty, Request, Response
from strongroom.operations.targets import Target
from strongroom.store.protocol import Transaction
from strongroom.store.scopes import AccountScope


class CreateUserRequest(Request):
    """The request of CreateUser."""

    user_name: UserName
    path: Path | None = None
    permissions_boundary: Arn | None = None
    tags: TagList | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(permissions_boundary=self.permissions_boundary, tags=tag_pairs(self.tags))


class CreateUserResponse(Response):
    """The response of CreateUser."""

    user: UserShape


class GetUserRequest(Request):
    """The request of GetUser; without a name, the caller is returned."""

    user_name: ExistingUserName | None = None


class GetUserResponse(Response):
    """The response of GetUser."""

    user: UserShape


class ListUsersRequest(PagedRequest):
    """The request of ListUsers."""

    path_prefix: PathPrefix | None = None


class ListUsersResponse(PagedResponse, kw_only=True):
    """The response of ListUsers."""

    users: list[UserShape]


class UpdateUserRequest(Request):
    """The request of UpdateUser."""

    user_name: ExistingUserName
    new_path: Path | None = None
    new_user_name: UserName | None = None


class UserRequest(Request):
    """The request of actions on one user that need only its name."""

    user_name: ExistingUserName


def create_user(context: Context, request: CreateUserRequest) -> CreateUserResponse:
    """Make a user without access keys and permissions."""
    unique_id = new_id(EntityKind.USER, context.backends.entropy)

    def add(transaction: Transaction) -> User:
        require_free(transaction, User, context.caller.account, request.user_name)
        if request.permissions_boundary is not None:
            require_policy(transaction, request.permissions_boundary, context.caller.account)
        user = User(
            account=context.caller.account,
            name=request.user_name,
            unique_id=unique_id,
            created_at=context.now,
            path=request.path or "/",
            partition=context.caller.partition,
            tags=merged_tags((), request.tags or ()),
            boundary=request.permissions_boundary,
        )
        transaction.put_entity(user)
        return user

    user = context.backends.store.write(add, AccountScope(context.caller.account))
    return CreateUserResponse(user=show_user(user))


def get_user(context: Context, request: GetUserRequest) -> GetUserResponse:
    """Return a user, or the caller."""
    caller = context.caller
    name = request.user_name or caller.user_name
    with context.read() as reader:
        if name is None and caller.kind is PrincipalKind.ACCOUNT_ROOT:
            account = required_account(reader, caller.account)
            return GetUserResponse(
                user=UserShape(
                    path="/",
                    user_name=None,
                    user_id=caller.account,
                    arn=caller.arn,
                    create_date=account.created_at,
                )
            )
        return GetUserResponse(user=show_user(required(reader, User, caller.account, require_name(name))))


def list_users(context: Context, request: ListUsersRequest) -> ListUsersResponse:
    """List the account's users by name."""
    prefix = request.path_prefix or "/"
    with context.read() as reader:
        users, more, marker = read_page(
            f"ListUsers {prefix}",
            request,
            lambda after, limit: reader.entities(User, context.caller.account, prefix, after, limit),
            lambda user: user.name.lower(),
        )
    return ListUsersResponse(users=[list_user(user) for user in users], is_truncated=more, marker=marker)


def locate_update_user(context: Context, request: UpdateUserRequest) -> Sequence[Target]:
    """Return the targets: the user under its present and under its new ARN."""
    now = target_of(context, "iam:UpdateUser", User, request.user_name)
    return now, replace(now, resource=renamed_arn(now.resource, request.new_user_name, request.new_path))


def update_user(context: Context, request: UpdateUserRequest) -> Empty:
    """Give a user another name or path; policies and grants that name the user still apply to it."""

    def rename(transaction: Transaction) -> None:
        user = authorized(context, transaction, User, request.user_name)
        name = request.new_user_name or user.name
        if name.lower() != user.name.lower():
            require_free(transaction, User, user.account, name)
        transaction.put_entity(replace(user, name=name, path=request.new_path or user.path), user)

    context.backends.store.write(rename, AccountScope(context.caller.account))
    return Empty()


def delete_user(context: Context, request: UserRequest) -> Empty:
    """Delete a user who has neither access keys nor policies nor groups left."""

    def remove(transaction: Transaction) -> None:
        user = authorized(context, transaction, User, request.user_name)
        held = [
            ("must delete access keys first", transaction.access_keys(user.account, user.unique_id)),
            ("must delete policies first", user.inline),
            ("must detach all policies first", user.attached),
            ("must remove users from group first", user.groups),
        ]
        for what, still in held:
            if still:
                raise DeleteConflictException(f"Cannot delete entity, {what}.")
        transaction.remove_entity(user)

    context.backends.store.write(remove, AccountScope(context.caller.account))
    return Empty()
