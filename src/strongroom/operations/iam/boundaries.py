"""Permissions boundaries of users and roles: what their policies can allow at most."""

from collections.abc import Callable
from typing import Any, TypeVar

from msgspec.structs import replace
from typing_extensions import override

from strongroom.iam.entities import Role, User
from strongroom.operations.condition_parameters import ConditionParameters
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import change, named
from strongroom.operations.iam.managed_policies import require_policy
from strongroom.operations.iam.shapes import Arn, RoleName, UserName
from strongroom.operations.shapes import Empty, Request

B = TypeVar("B", User, Role)


class PutUserPermissionsBoundaryRequest(Request):
    """The request of PutUserPermissionsBoundary."""

    user_name: UserName
    permissions_boundary: Arn

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(permissions_boundary=self.permissions_boundary)


class PutRolePermissionsBoundaryRequest(Request):
    """The request of PutRolePermissionsBoundary."""

    role_name: RoleName
    permissions_boundary: Arn

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(permissions_boundary=self.permissions_boundary)


class DeleteUserPermissionsBoundaryRequest(Request):
    """The request of DeleteUserPermissionsBoundary."""

    user_name: UserName


class DeleteRolePermissionsBoundaryRequest(Request):
    """The request of DeleteRolePermissionsBoundary."""

    role_name: RoleName


def put_boundary(kind: type[B]) -> Callable[[Context, Any], Empty]:
    """Return the operation that limits a user or role."""

    def put(context: Context, request: Any) -> Empty:  # noqa: ANN401 - one of two requests
        arn: str = request.permissions_boundary

        def limited(reader: Any, holder: B) -> B:  # noqa: ANN401 - the transaction
            require_policy(reader, arn, context.caller.account)
            return replace(holder, boundary=arn)

        change(context, kind, named(request, kind), limited)
        return Empty()

    return put


def delete_boundary(kind: type[B]) -> Callable[[Context, Any], Empty]:
    """Return the operation that removes the limit from a user or role."""

    def delete(context: Context, request: Any) -> Empty:  # noqa: ANN401 - one of two requests
        change(context, kind, named(request, kind), lambda _, holder: replace(holder, boundary=None))
        return Empty()

    return delete
