"""The rows of IAM's table for instance profiles, OpenID Connect providers and the settings of the account."""

from strongroom.iam.entities import EntityKind, InstanceProfile
from strongroom.operations.iam import account_settings, instance_profiles, oidc_providers, tags
from strongroom.operations.iam.entities import on_instance_profile, on_new, on_role
from strongroom.operations.iam.oidc_providers import on_provider
from strongroom.operations.iam.rows import entity_row, row
from strongroom.operations.targets import no_resource


def _new_profile_name(request: instance_profiles.CreateInstanceProfileRequest) -> str:
    return request.instance_profile_name


RESOURCE_ROWS = (
    # --- instance profiles
    entity_row(
        on_new(EntityKind.INSTANCE_PROFILE, _new_profile_name),
        "CreateInstanceProfile",
        instance_profiles.CreateInstanceProfileRequest,
        instance_profiles.create_instance_profile,
    ),
    entity_row(
        on_instance_profile,
        "GetInstanceProfile",
        instance_profiles.InstanceProfileRequest,
        instance_profiles.get_instance_profile,
    ),
    entity_row(
        no_resource,
        "ListInstanceProfiles",
        instance_profiles.ListInstanceProfilesRequest,
        instance_profiles.list_instance_profiles,
    ),
    entity_row(
        on_role,
        "ListInstanceProfilesForRole",
        instance_profiles.ListInstanceProfilesForRoleRequest,
        instance_profiles.list_instance_profiles_for_role,
    ),
    entity_row(
        on_instance_profile,
        "DeleteInstanceProfile",
        instance_profiles.InstanceProfileRequest,
        instance_profiles.delete_instance_profile,
    ),
    row(
        "AddRoleToInstanceProfile",
        instance_profiles.RoleInProfileRequest,
        instance_profiles.add_role_to_instance_profile,
        instance_profiles.locate_add_role,
    ),
    entity_row(
        on_instance_profile,
        "RemoveRoleFromInstanceProfile",
        instance_profiles.RoleInProfileRequest,
        instance_profiles.remove_role_from_instance_profile,
    ),
    entity_row(
        on_instance_profile,
        "TagInstanceProfile",
        instance_profiles.TagInstanceProfileRequest,
        tags.put_tags(InstanceProfile),
    ),
    entity_row(
        on_instance_profile,
        "UntagInstanceProfile",
        instance_profiles.UntagInstanceProfileRequest,
        tags.remove_tags(InstanceProfile),
    ),
    entity_row(
        on_instance_profile,
        "ListInstanceProfileTags",
        instance_profiles.ListInstanceProfileTagsRequest,
        tags.list_tags(InstanceProfile),
    ),
    # --- OpenID Connect providers
    row(
        "CreateOpenIDConnectProvider",
        oidc_providers.CreateOpenIDConnectProviderRequest,
        oidc_providers.create_open_id_connect_provider,
        oidc_providers.locate_create_provider,
    ),
    entity_row(
        on_provider,
        "GetOpenIDConnectProvider",
        oidc_providers.ProviderRequest,
        oidc_providers.get_open_id_connect_provider,
    ),
    entity_row(
        no_resource,
        "ListOpenIDConnectProviders",
        oidc_providers.ListOpenIDConnectProvidersRequest,
        oidc_providers.list_open_id_connect_providers,
    ),
    entity_row(
        on_provider,
        "DeleteOpenIDConnectProvider",
        oidc_providers.ProviderRequest,
        oidc_providers.delete_open_id_connect_provider,
    ),
    entity_row(
        on_provider,
        "UpdateOpenIDConnectProviderThumbprint",
        oidc_providers.UpdateThumbprintRequest,
        oidc_providers.update_thumbprint,
    ),
    entity_row(
        on_provider,
        "AddClientIDToOpenIDConnectProvider",
        oidc_providers.ClientIdRequest,
        oidc_providers.add_client_id,
    ),
    entity_row(
        on_provider,
        "RemoveClientIDFromOpenIDConnectProvider",
        oidc_providers.ClientIdRequest,
        oidc_providers.remove_client_id,
    ),
    entity_row(on_provider, "TagOpenIDConnectProvider", oidc_providers.TagProviderRequest, oidc_providers.tag_provider),
    entity_row(
        on_provider, "UntagOpenIDConnectProvider", oidc_providers.UntagProviderRequest, oidc_providers.untag_provider
    ),
    entity_row(
        on_provider,
        "ListOpenIDConnectProviderTags",
        oidc_providers.ListProviderTagsRequest,
        oidc_providers.list_provider_tags,
    ),
    # --- settings of the account
    entity_row(
        no_resource,
        "CreateAccountAlias",
        account_settings.AccountAliasRequest,
        account_settings.create_account_alias,
    ),
    entity_row(
        no_resource,
        "DeleteAccountAlias",
        account_settings.AccountAliasRequest,
        account_settings.delete_account_alias,
    ),
    entity_row(
        no_resource,
        "ListAccountAliases",
        account_settings.ListAccountAliasesRequest,
        account_settings.list_account_aliases,
    ),
    entity_row(
        no_resource,
        "UpdateAccountPasswordPolicy",
        account_settings.UpdateAccountPasswordPolicyRequest,
        account_settings.update_account_password_policy,
    ),
    entity_row(
        no_resource,
        "GetAccountPasswordPolicy",
        account_settings.PasswordPolicyRequest,
        account_settings.get_account_password_policy,
    ),
    entity_row(
        no_resource,
        "DeleteAccountPasswordPolicy",
        account_settings.PasswordPolicyRequest,
        account_settings.delete_account_password_policy,
    ),
)
"""Rows for what tools make beside users, groups, roles and policies."""
