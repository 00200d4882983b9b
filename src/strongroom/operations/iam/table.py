"""The table of IAM: one row per action."""

from strongroom.iam.entities import EntityKind, Group, Role, User
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
from strongroom.operations.iam.access_keys import on_owner
from strongroom.operations.iam.entities import on_group, on_new, on_role, on_user
from strongroom.operations.iam.managed_policies import on_policy
from strongroom.operations.iam.report_table import REPORT_ROWS
from strongroom.operations.iam.resources_table import RESOURCE_ROWS
from strongroom.operations.iam.rows import entity_row, row
from strongroom.operations.operation import Operation
from strongroom.operations.targets import no_resource


def _new_user_name(request: users.CreateUserRequest) -> str:
    return request.user_name


def _new_group_name(request: groups.CreateGroupRequest) -> str:
    return request.group_name


def _new_role_name(request: roles.CreateRoleRequest) -> str:
    return request.role_name


_ROWS = (
    # --- users
    entity_row(on_new(EntityKind.USER, _new_user_name), "CreateUser", users.CreateUserRequest, users.create_user),
    entity_row(on_user, "GetUser", users.GetUserRequest, users.get_user),
    entity_row(no_resource, "ListUsers", users.ListUsersRequest, users.list_users),
    row("UpdateUser", users.UpdateUserRequest, users.update_user, users.locate_update_user),
    entity_row(on_user, "DeleteUser", users.UserRequest, users.delete_user),
    entity_row(on_user, "TagUser", tags.TagUserRequest, tags.put_tags(User)),
    entity_row(on_user, "UntagUser", tags.UntagUserRequest, tags.remove_tags(User)),
    entity_row(on_user, "ListUserTags", tags.ListUserTagsRequest, tags.list_tags(User)),
    entity_row(
        on_user,
        "PutUserPermissionsBoundary",
        boundaries.PutUserPermissionsBoundaryRequest,
        boundaries.put_boundary(User),
    ),
    entity_row(
        on_user,
        "DeleteUserPermissionsBoundary",
        boundaries.DeleteUserPermissionsBoundaryRequest,
        boundaries.delete_boundary(User),
    ),
    # --- access keys
    entity_row(on_owner, "CreateAccessKey", access_keys.UserAccessKeysRequest, access_keys.create_access_key),
    entity_row(on_owner, "ListAccessKeys", access_keys.ListAccessKeysRequest, access_keys.list_access_keys),
    entity_row(on_owner, "UpdateAccessKey", access_keys.UpdateAccessKeyRequest, access_keys.update_access_key),
    entity_row(on_owner, "DeleteAccessKey", access_keys.DeleteAccessKeyRequest, access_keys.delete_access_key),
    row(
        "GetAccessKeyLastUsed",
        access_keys.GetAccessKeyLastUsedRequest,
        access_keys.get_access_key_last_used,
        access_keys.locate_last_used,
    ),
    # --- groups
    entity_row(
        on_new(EntityKind.GROUP, _new_group_name), "CreateGroup", groups.CreateGroupRequest, groups.create_group
    ),
    entity_row(on_group, "GetGroup", groups.GetGroupRequest, groups.get_group),
    entity_row(no_resource, "ListGroups", groups.ListGroupsRequest, groups.list_groups),
    entity_row(on_user, "ListGroupsForUser", groups.ListGroupsForUserRequest, groups.list_groups_for_user),
    row("UpdateGroup", groups.UpdateGroupRequest, groups.update_group, groups.locate_update_group),
    entity_row(on_group, "DeleteGroup", groups.GroupRequest, groups.delete_group),
    entity_row(on_group, "AddUserToGroup", groups.MembershipRequest, groups.add_user_to_group),
    entity_row(on_group, "RemoveUserFromGroup", groups.MembershipRequest, groups.remove_user_from_group),
    # --- roles
    entity_row(on_new(EntityKind.ROLE, _new_role_name), "CreateRole", roles.CreateRoleRequest, roles.create_role),
    entity_row(on_role, "GetRole", roles.RoleRequest, roles.get_role),
    entity_row(no_resource, "ListRoles", roles.ListRolesRequest, roles.list_roles),
    entity_row(on_role, "UpdateRole", roles.UpdateRoleRequest, roles.update_role),
    entity_row(on_role, "UpdateRoleDescription", roles.UpdateRoleDescriptionRequest, roles.update_role_description),
    entity_row(on_role, "UpdateAssumeRolePolicy", roles.UpdateAssumeRolePolicyRequest, roles.update_assume_role_policy),
    entity_row(on_role, "DeleteRole", roles.RoleRequest, roles.delete_role),
    entity_row(on_role, "TagRole", tags.TagRoleRequest, tags.put_tags(Role)),
    entity_row(on_role, "UntagRole", tags.UntagRoleRequest, tags.remove_tags(Role)),
    entity_row(on_role, "ListRoleTags", tags.ListRoleTagsRequest, tags.list_tags(Role)),
    entity_row(
        on_role,
        "PutRolePermissionsBoundary",
        boundaries.PutRolePermissionsBoundaryRequest,
        boundaries.put_boundary(Role),
    ),
    entity_row(
        on_role,
        "DeleteRolePermissionsBoundary",
        boundaries.DeleteRolePermissionsBoundaryRequest,
        boundaries.delete_boundary(Role),
    ),
    # --- inline policies
    entity_row(on_user, "PutUserPolicy", inline_policies.PutUserPolicyRequest, inline_policies.put_policy(User)),
    entity_row(on_group, "PutGroupPolicy", inline_policies.PutGroupPolicyRequest, inline_policies.put_policy(Group)),
    entity_row(on_role, "PutRolePolicy", inline_policies.PutRolePolicyRequest, inline_policies.put_policy(Role)),
    entity_row(on_user, "GetUserPolicy", inline_policies.UserPolicyRequest, inline_policies.get_user_policy),
    entity_row(on_group, "GetGroupPolicy", inline_policies.GroupPolicyRequest, inline_policies.get_group_policy),
    entity_row(on_role, "GetRolePolicy", inline_policies.RolePolicyRequest, inline_policies.get_role_policy),
    entity_row(on_user, "DeleteUserPolicy", inline_policies.UserPolicyRequest, inline_policies.delete_policy(User)),
    entity_row(on_group, "DeleteGroupPolicy", inline_policies.GroupPolicyRequest, inline_policies.delete_policy(Group)),
    entity_row(on_role, "DeleteRolePolicy", inline_policies.RolePolicyRequest, inline_policies.delete_policy(Role)),
    entity_row(
        on_user, "ListUserPolicies", inline_policies.ListUserPoliciesRequest, inline_policies.list_policies(User)
    ),
    entity_row(
        on_group, "ListGroupPolicies", inline_policies.ListGroupPoliciesRequest, inline_policies.list_policies(Group)
    ),
    entity_row(
        on_role, "ListRolePolicies", inline_policies.ListRolePoliciesRequest, inline_policies.list_policies(Role)
    ),
    # --- managed policies
    row(
        "CreatePolicy",
        managed_policies.CreatePolicyRequest,
        managed_policies.create_policy,
        managed_policies.locate_create_policy,
    ),
    entity_row(on_policy, "GetPolicy", managed_policies.PolicyRequest, managed_policies.get_policy),
    entity_row(no_resource, "ListPolicies", managed_policies.ListPoliciesRequest, managed_policies.list_policies),
    entity_row(on_policy, "DeletePolicy", managed_policies.PolicyRequest, managed_policies.delete_policy),
    entity_row(
        on_policy,
        "CreatePolicyVersion",
        policy_versions.CreatePolicyVersionRequest,
        policy_versions.create_policy_version,
    ),
    entity_row(on_policy, "GetPolicyVersion", policy_versions.PolicyVersionRequest, policy_versions.get_policy_version),
    entity_row(
        on_policy, "ListPolicyVersions", policy_versions.ListPolicyVersionsRequest, policy_versions.list_policy_versions
    ),
    entity_row(
        on_policy,
        "SetDefaultPolicyVersion",
        policy_versions.PolicyVersionRequest,
        policy_versions.set_default_policy_version,
    ),
    entity_row(
        on_policy, "DeletePolicyVersion", policy_versions.PolicyVersionRequest, policy_versions.delete_policy_version
    ),
    entity_row(on_policy, "TagPolicy", tags.TagPolicyRequest, tags.tag_policy),
    entity_row(on_policy, "UntagPolicy", tags.UntagPolicyRequest, tags.untag_policy),
    entity_row(on_policy, "ListPolicyTags", tags.ListPolicyTagsRequest, tags.list_policy_tags),
    entity_row(
        on_policy,
        "ListEntitiesForPolicy",
        attachments.ListEntitiesForPolicyRequest,
        attachments.list_entities_for_policy,
    ),
    # --- attachments
    entity_row(on_user, "AttachUserPolicy", attachments.UserAttachmentRequest, attachments.attach(User)),
    entity_row(on_group, "AttachGroupPolicy", attachments.GroupAttachmentRequest, attachments.attach(Group)),
    entity_row(on_role, "AttachRolePolicy", attachments.RoleAttachmentRequest, attachments.attach(Role)),
    entity_row(on_user, "DetachUserPolicy", attachments.UserAttachmentRequest, attachments.detach(User)),
    entity_row(on_group, "DetachGroupPolicy", attachments.GroupAttachmentRequest, attachments.detach(Group)),
    entity_row(on_role, "DetachRolePolicy", attachments.RoleAttachmentRequest, attachments.detach(Role)),
    entity_row(
        on_user,
        "ListAttachedUserPolicies",
        attachments.ListAttachedUserPoliciesRequest,
        attachments.list_attached(User),
    ),
    entity_row(
        on_group,
        "ListAttachedGroupPolicies",
        attachments.ListAttachedGroupPoliciesRequest,
        attachments.list_attached(Group),
    ),
    entity_row(
        on_role,
        "ListAttachedRolePolicies",
        attachments.ListAttachedRolePoliciesRequest,
        attachments.list_attached(Role),
    ),
    # --- reports, and lists that are empty
    *REPORT_ROWS,
    # --- the account, and simulation
    entity_row(
        no_resource,
        "GetAccountAuthorizationDetails",
        account.GetAccountAuthorizationDetailsRequest,
        account.get_account_authorization_details,
    ),
    entity_row(no_resource, "GetAccountSummary", account.GetAccountSummaryRequest, account.get_account_summary),
    entity_row(
        no_resource, "SimulateCustomPolicy", simulation.SimulateCustomPolicyRequest, simulation.simulate_custom_policy
    ),
    row(
        "SimulatePrincipalPolicy",
        simulation.SimulatePrincipalPolicyRequest,
        simulation.simulate_principal_policy,
        simulation.locate_simulate_principal_policy,
    ),
    *RESOURCE_ROWS,
)

IAM_TABLE: dict[str, Operation] = {row.name: row for row in _ROWS}
"""Action name → row."""
