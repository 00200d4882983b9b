"""Roles and their trust policies."""

from msgspec.structs import replace
from typing_extensions import override

from strongroom.errors import DeleteConflictException, MalformedPolicyDocumentException
from strongroom.iam import PolicyKind
from strongroom.iam.document import PrincipalType
from strongroom.iam.entities import DEFAULT_SESSION_SECONDS, EntityKind, Role
from strongroom.operations.condition_parameters import ConditionParameters, tag_pairs
from strongroom.operations.context import Context
from strongroom.operations.iam.entities import (
    MAX_TRUST_POLICY,
    accepted_document,
    authorized,
    change,
    merged_tags,
    new_id,
    require_free,
    require_size,
    required,
)
from strongroom.operations.iam.last_used import role_last_used
from strongroom.operations.iam.managed_policies import require_policy
from strongroom.operations.iam.shapes import (
    Arn,
    MaxSessionDuration,
    PagedRequest,
    PagedResponse,
    Path,
    PathPrefix,
    PolicyText,
    RoleDescription,
    RoleName,
    RoleShape,
    TagList,
    list_role,
    read_page,
    show_role,
)
from strongroom.operations.named_principals import UnknownPrincipal, pin, with_current_names
from strongroom.operations.shapes import Empty, Request, Response
from strongroom.store.protocol import Reader, Transaction
from strongroom.store.scopes import AccountScope
from strongroom.store.subjects.identities import IdentityReader

IN_PROFILE = "Cannot delete entity, must remove roles from instance profile first."


class CreateRoleRequest(Request):
    """The request of CreateRole."""

    role_name: RoleName
    assume_role_policy_document: PolicyText
    path: Path | None = None
    description: RoleDescription | None = None
    max_session_duration: MaxSessionDuration = DEFAULT_SESSION_SECONDS
    permissions_boundary: Arn | None = None
    tags: TagList | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(permissions_boundary=self.permissions_boundary, tags=tag_pairs(self.tags))


class RoleResponse(Response):
    """The response of CreateRole, GetRole and UpdateRoleDescription."""

    role: RoleShape


class RoleRequest(Request):
    """The request of actions on one role that need only its name."""

    role_name: RoleName


class ListRolesRequest(PagedRequest):
    """The request of ListRoles."""

    path_prefix: PathPrefix | None = None


class ListRolesResponse(PagedResponse, kw_only=True):
    """The response of ListRoles."""

    roles: list[RoleShape]


class UpdateRoleRequest(Request):
    """The request of UpdateRole."""

    role_name: RoleName
    description: RoleDescription | None = None
    max_session_duration: MaxSessionDuration | None = None


class UpdateRoleResponse(Response):
    """The response of UpdateRole, which is empty."""


class UpdateRoleDescriptionRequest(Request):
    """The request of UpdateRoleDescription."""

    role_name: RoleName
    description: RoleDescription


class UpdateAssumeRolePolicyRequest(Request):
    """The request of UpdateAssumeRolePolicy."""

    role_name: RoleName
    policy_document: PolicyText


def create_role(context: Context, request: CreateRoleRequest) -> RoleResponse:
    """Make a role that the principals of its trust policy may assume."""
    unique_id = new_id(EntityKind.ROLE, context.backends.entropy)

    def add(transaction: Transaction) -> Role:
        require_free(transaction, Role, context.caller.account, request.role_name)
        if request.permissions_boundary is not None:
            require_policy(transaction, request.permissions_boundary, context.caller.account)
        role = Role(
            account=context.caller.account,
            name=request.role_name,
            unique_id=unique_id,
            created_at=context.now,
            path=request.path or "/",
            partition=context.caller.partition,
            tags=merged_tags((), request.tags or ()),
            boundary=request.permissions_boundary,
            trust_policy=request.assume_role_policy_document,
            trusted=_trusted_ids(transaction, request.assume_role_policy_document),
            description=request.description or "",
            max_session_seconds=request.max_session_duration,
        )
        transaction.put_entity(role)
        return role

    role = context.backends.store.write(add, AccountScope(context.caller.account))
    return RoleResponse(role=show_role(role))


def get_role(context: Context, request: RoleRequest) -> RoleResponse:
    """Return a role; its trust policy shows principals under the names they have now."""
    with context.read() as reader:
        return _shown(context, reader, required(reader, Role, context.caller.account, request.role_name))


def list_roles(context: Context, request: ListRolesRequest) -> ListRolesResponse:
    """List the account's roles by name."""
    prefix = request.path_prefix or "/"
    with context.read() as reader:
        roles, more, marker = read_page(
            f"ListRoles {prefix}",
            request,
            lambda after, limit: reader.entities(Role, context.caller.account, prefix, after, limit),
            lambda role: role.name.lower(),
        )
        shown = [list_role(role, trust_policy(reader, role)) for role in roles]
    return ListRolesResponse(roles=shown, is_truncated=more, marker=marker)


def update_role(context: Context, request: UpdateRoleRequest) -> UpdateRoleResponse:
    """Change a role's description and maximum session length; None leaves one as it is."""
    change(
        context,
        Role,
        request.role_name,
        lambda _, role: replace(
            role,
            description=role.description if request.description is None else request.description,
            max_session_seconds=request.max_session_duration or role.max_session_seconds,
        ),
    )
    return UpdateRoleResponse()


def update_role_description(context: Context, request: UpdateRoleDescriptionRequest) -> RoleResponse:
    """Change a role's description. UpdateRole has replaced this operation."""
    role = change(context, Role, request.role_name, lambda _, role: replace(role, description=request.description))
    with context.read() as reader:
        return _shown(context, reader, role)


def update_assume_role_policy(context: Context, request: UpdateAssumeRolePolicyRequest) -> Empty:
    """Replace a role's trust policy; existing sessions stay valid."""
    change(
        context,
        Role,
        request.role_name,
        lambda transaction, role: replace(
            role,
            trust_policy=request.policy_document,
            trusted=_trusted_ids(transaction, request.policy_document),
        ),
    )
    return Empty()


def delete_role(context: Context, request: RoleRequest) -> Empty:
    """Delete a role without policies that is in no instance profile; its sessions end at once."""

    def remove(transaction: Transaction) -> None:
        role = authorized(context, transaction, Role, request.role_name)
        if transaction.linked(role.account, role.arn):
            raise DeleteConflictException(IN_PROFILE)
        if role.inline:
            raise DeleteConflictException("Cannot delete entity, must delete policies first.")
        if role.attached:
            raise DeleteConflictException("Cannot delete entity, must detach all policies first.")
        transaction.remove_entity(role)

    context.backends.store.write(remove, AccountScope(context.caller.account))
    return Empty()


def trust_policy(reader: IdentityReader, role: Role) -> str:
    """Return a role's trust policy with the current names of users and roles."""
    return with_current_names(reader, role.trust_policy, role.trusted)


def _shown(context: Context, reader: Reader, role: Role) -> RoleResponse:
    last_used = role_last_used(reader, role, context.now)
    return RoleResponse(role=show_role(role, trust_policy=trust_policy(reader, role), last_used=last_used))


def _trusted_ids(reader: IdentityReader, text: str) -> tuple[tuple[str, str], ...]:
    """Return the unique ids of users and roles in a trust policy; raises MalformedPolicyDocumentException."""
    document = accepted_document(text, PolicyKind.TRUST)
    require_size(text, MAX_TRUST_POLICY, "ACLSizePerRole")
    pinned: list[tuple[str, str]] = []
    for principal in document.principals:
        try:
            pinned += pin(reader, (principal,))
        except UnknownPrincipal:
            kind = PrincipalType.AWS.value
            raise MalformedPolicyDocumentException(
                f'Invalid principal in policy: "{kind}":"{principal.value}"'
            ) from None
    return tuple(pinned)
