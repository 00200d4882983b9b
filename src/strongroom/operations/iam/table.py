"""The table of IAM: one row per action."""

from collections.abc import Callable, Sequence

from strongroom.iam.entities import Entity, EntityKind, Group, Role, User
from strongroom.operations.context import Context
from strongroom.operations.iam import (
    access_keys,
    account,
    attachments,
    boundaries,
    groups,
    inline_policies,
    managed_policies,
    policy_versions,
    roles,
    simulation,
    tags,
    users,
)
from strongroom.operations.iam.access_keys import locate_access_keys
from strongroom.operations.iam.entities import on_entity, on_new
from strongroom.operations.iam.managed_policies import on_policy
from strongroom.operations.lanes import Placement
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Request, Response
from strongroom.operations.targets import Locate, Target, no_resource

Run = Callable[..., Response]

_READS = ("Get", "List", "Simulate")


def _row(name: str, request: type[Request], run: Run, locate: Locate) -> Operation:
    return Operation(
        name,
        request,
        run,
        locate=locate,
        placement=Placement.WAITING,
        read_only=name.startswith(_READS),
        service="iam",
    )


def _on(kind: type[Entity]) -> Callable[[str, type[Request], Run], Operation]:
    """Return the maker of rows for actions on one existing entity."""
    locator = on_entity(kind)
    return lambda name, request, run: _row(name, request, run, locator(f"iam:{name}"))


def _new(kind: EntityKind) -> Callable[[str, type[Request], Run], Operation]:
    locator = on_new(kind)
    return lambda name, request, run: _row(name, request, run, locator(f"iam:{name}"))


def _on_policy(name: str, request: type[Request], run: Run) -> Operation:
    return _row(name, request, run, on_policy(f"iam:{name}"))


def _on_keys(name: str, request: type[Request], run: Run) -> Operation:
    def locate(context: Context, asked: Request) -> Sequence[Target]:
        return locate_access_keys(context, asked, f"iam:{name}")

    return _row(name, request, run, locate)


def _on_all(name: str, request: type[Request], run: Run) -> Operation:
    return _row(name, request, run, no_resource(f"iam:{name}"))


_user, _group, _role = _on(User), _on(Group), _on(Role)

_ROWS = (
    # --- users
    _new(EntityKind.USER)("CreateUser", users.CreateUserRequest, users.create_user),
    _user("GetUser", users.GetUserRequest, users.get_user),
    _on_all("ListUsers", users.ListUsersRequest, users.list_users),
    _row("UpdateUser", users.UpdateUserRequest, users.update_user, users.locate_update_user),
    _user("DeleteUser", users.UserRequest, users.delete_user),
    _user("TagUser", tags.TagUserRequest, tags.put_tags(User)),
    _user("UntagUser", tags.UntagUserRequest, tags.remove_tags(User)),
    _user("ListUserTags", tags.ListUserTagsRequest, tags.list_tags(User)),
    _user("PutUserPermissionsBoundary", boundaries.PutUserPermissionsBoundaryRequest, boundaries.put_boundary(User)),
    _user(
        "DeleteUserPermissionsBoundary",
        boundaries.DeleteUserPermissionsBoundaryRequest,
        boundaries.delete_boundary(User),
    ),
    # --- access keys
    _on_keys("CreateAccessKey", access_keys.UserAccessKeysRequest, access_keys.create_access_key),
    _on_keys("ListAccessKeys", access_keys.ListAccessKeysRequest, access_keys.list_access_keys),
    _on_keys("UpdateAccessKey", access_keys.UpdateAccessKeyRequest, access_keys.update_access_key),
    _on_keys("DeleteAccessKey", access_keys.DeleteAccessKeyRequest, access_keys.delete_access_key),
    _row(
        "GetAccessKeyLastUsed",
        access_keys.GetAccessKeyLastUsedRequest,
        access_keys.get_access_key_last_used,
        access_keys.locate_last_used,
    ),
    # --- groups
    _new(EntityKind.GROUP)("CreateGroup", groups.CreateGroupRequest, groups.create_group),
    _group("GetGroup", groups.GetGroupRequest, groups.get_group),
    _on_all("ListGroups", groups.ListGroupsRequest, groups.list_groups),
    _user("ListGroupsForUser", groups.ListGroupsForUserRequest, groups.list_groups_for_user),
    _row("UpdateGroup", groups.UpdateGroupRequest, groups.update_group, groups.locate_update_group),
    _group("DeleteGroup", groups.GroupRequest, groups.delete_group),
    _group("AddUserToGroup", groups.MembershipRequest, groups.add_user_to_group),
    _group("RemoveUserFromGroup", groups.MembershipRequest, groups.remove_user_from_group),
    # --- roles
    _new(EntityKind.ROLE)("CreateRole", roles.CreateRoleRequest, roles.create_role),
    _role("GetRole", roles.RoleRequest, roles.get_role),
    _on_all("ListRoles", roles.ListRolesRequest, roles.list_roles),
    _role("UpdateRole", roles.UpdateRoleRequest, roles.update_role),
    _role("UpdateRoleDescription", roles.UpdateRoleDescriptionRequest, roles.update_role_description),
    _role("UpdateAssumeRolePolicy", roles.UpdateAssumeRolePolicyRequest, roles.update_assume_role_policy),
    _role("DeleteRole", roles.RoleRequest, roles.delete_role),
    _role("TagRole", tags.TagRoleRequest, tags.put_tags(Role)),
    _role("UntagRole", tags.UntagRoleRequest, tags.remove_tags(Role)),
    _role("ListRoleTags", tags.ListRoleTagsRequest, tags.list_tags(Role)),
    _role("PutRolePermissionsBoundary", boundaries.PutRolePermissionsBoundaryRequest, boundaries.put_boundary(Role)),
    _role(
        "DeleteRolePermissionsBoundary",
        boundaries.DeleteRolePermissionsBoundaryRequest,
        boundaries.delete_boundary(Role),
    ),
    _role(
        "ListInstanceProfilesForRole",
        roles.ListInstanceProfilesForRoleRequest,
        roles.list_instance_profiles_for_role,
    ),
    # --- inline policies
    _user("PutUserPolicy", inline_policies.PutUserPolicyRequest, inline_policies.put_policy(User)),
    _group("PutGroupPolicy", inline_policies.PutGroupPolicyRequest, inline_policies.put_policy(Group)),
    _role("PutRolePolicy", inline_policies.PutRolePolicyRequest, inline_policies.put_policy(Role)),
    _user("GetUserPolicy", inline_policies.UserPolicyRequest, inline_policies.get_user_policy),
    _group("GetGroupPolicy", inline_policies.GroupPolicyRequest, inline_policies.get_group_policy),
    _role("GetRolePolicy", inline_policies.RolePolicyRequest, inline_policies.get_role_policy),
    _user("DeleteUserPolicy", inline_policies.UserPolicyRequest, inline_policies.delete_policy(User)),
    _group("DeleteGroupPolicy", inline_policies.GroupPolicyRequest, inline_policies.delete_policy(Group)),
    _role("DeleteRolePolicy", inline_policies.RolePolicyRequest, inline_policies.delete_policy(Role)),
    _user("ListUserPolicies", inline_policies.ListUserPoliciesRequest, inline_policies.list_policies(User)),
    _group("ListGroupPolicies", inline_policies.ListGroupPoliciesRequest, inline_policies.list_policies(Group)),
    _role("ListRolePolicies", inline_policies.ListRolePoliciesRequest, inline_policies.list_policies(Role)),
    # --- managed policies
    _row(
        "CreatePolicy",
        managed_policies.CreatePolicyRequest,
        managed_policies.create_policy,
        managed_policies.locate_create_policy,
    ),
    _on_policy("GetPolicy", managed_policies.PolicyRequest, managed_policies.get_policy),
    _on_all("ListPolicies", managed_policies.ListPoliciesRequest, managed_policies.list_policies),
    _on_policy("DeletePolicy", managed_policies.PolicyRequest, managed_policies.delete_policy),
    _on_policy(
        "CreatePolicyVersion", policy_versions.CreatePolicyVersionRequest, policy_versions.create_policy_version
    ),
    _on_policy("GetPolicyVersion", policy_versions.PolicyVersionRequest, policy_versions.get_policy_version),
    _on_policy("ListPolicyVersions", policy_versions.ListPolicyVersionsRequest, policy_versions.list_policy_versions),
    _on_policy(
        "SetDefaultPolicyVersion", policy_versions.PolicyVersionRequest, policy_versions.set_default_policy_version
    ),
    _on_policy("DeletePolicyVersion", policy_versions.PolicyVersionRequest, policy_versions.delete_policy_version),
    _on_policy("TagPolicy", tags.TagPolicyRequest, tags.tag_policy),
    _on_policy("UntagPolicy", tags.UntagPolicyRequest, tags.untag_policy),
    _on_policy("ListPolicyTags", tags.ListPolicyTagsRequest, tags.list_policy_tags),
    _on_policy("ListEntitiesForPolicy", attachments.ListEntitiesForPolicyRequest, attachments.list_entities_for_policy),
    # --- attachments
    _user("AttachUserPolicy", attachments.UserAttachmentRequest, attachments.attach(User)),
    _group("AttachGroupPolicy", attachments.GroupAttachmentRequest, attachments.attach(Group)),
    _role("AttachRolePolicy", attachments.RoleAttachmentRequest, attachments.attach(Role)),
    _user("DetachUserPolicy", attachments.UserAttachmentRequest, attachments.detach(User)),
    _group("DetachGroupPolicy", attachments.GroupAttachmentRequest, attachments.detach(Group)),
    _role("DetachRolePolicy", attachments.RoleAttachmentRequest, attachments.detach(Role)),
    _user("ListAttachedUserPolicies", attachments.ListAttachedUserPoliciesRequest, attachments.list_attached(User)),
    _group("ListAttachedGroupPolicies", attachments.ListAttachedGroupPoliciesRequest, attachments.list_attached(Group)),
    _role("ListAttachedRolePolicies", attachments.ListAttachedRolePoliciesRequest, attachments.list_attached(Role)),
    # --- the account, and simulation
    _on_all(
        "GetAccountAuthorizationDetails",
        account.GetAccountAuthorizationDetailsRequest,
        account.get_account_authorization_details,
    ),
    _on_all("GetAccountSummary", account.GetAccountSummaryRequest, account.get_account_summary),
    _on_all("ListAccountAliases", account.ListAccountAliasesRequest, account.list_account_aliases),
    _on_all("SimulateCustomPolicy", simulation.SimulateCustomPolicyRequest, simulation.simulate_custom_policy),
    _row(
        "SimulatePrincipalPolicy",
        simulation.SimulatePrincipalPolicyRequest,
        simulation.simulate_principal_policy,
        simulation.locate_simulate_principal_policy,
    ),
)

IAM_TABLE: dict[str, Operation] = {row.name: row for row in _ROWS}
"""Action name → row."""
