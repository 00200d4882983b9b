"""Rows of IAM's table: credentials that no user has here, and reports."""

from strongroom.operations.iam import named_credentials, other_credentials
from strongroom.operations.iam.rows import entity_row, on_owner
from strongroom.operations.targets import no_resource

REPORT_ROWS = (
    # --- credentials other than access keys
    entity_row(on_owner, "ListMFADevices", other_credentials.ListOwnRequest, other_credentials.list_mfa_devices),
    entity_row(
        no_resource,
        "ListVirtualMFADevices",
        other_credentials.ListVirtualMFADevicesRequest,
        other_credentials.list_virtual_mfa_devices,
    ),
    entity_row(
        on_owner,
        "ListSSHPublicKeys",
        other_credentials.ListSSHPublicKeysRequest,
        other_credentials.list_ssh_public_keys,
    ),
    entity_row(
        on_owner,
        "ListSigningCertificates",
        other_credentials.ListOwnRequest,
        other_credentials.list_signing_certificates,
    ),
    entity_row(
        other_credentials.on_credential_users,
        "ListServiceSpecificCredentials",
        other_credentials.ListServiceSpecificCredentialsRequest,
        other_credentials.list_service_specific_credentials,
    ),
    entity_row(
        no_resource,
        "ListServerCertificates",
        other_credentials.ListServerCertificatesRequest,
        other_credentials.list_server_certificates,
    ),
    entity_row(
        no_resource,
        "ListSAMLProviders",
        other_credentials.ListSAMLProvidersRequest,
        other_credentials.list_saml_providers,
    ),
    entity_row(on_owner, "GetLoginProfile", named_credentials.LoginProfileRequest, named_credentials.get_login_profile),
    entity_row(
        on_owner, "DeleteLoginProfile", named_credentials.LoginProfileRequest, named_credentials.delete_login_profile
    ),
    entity_row(
        named_credentials.on_device_user,
        "GetMFADevice",
        named_credentials.GetMFADeviceRequest,
        named_credentials.get_mfa_device,
    ),
    entity_row(
        on_owner,
        "DeactivateMFADevice",
        named_credentials.DeactivateMFADeviceRequest,
        named_credentials.deactivate_mfa_device,
    ),
    entity_row(
        named_credentials.on_virtual_device,
        "DeleteVirtualMFADevice",
        named_credentials.DeleteVirtualMFADeviceRequest,
        named_credentials.delete_virtual_mfa_device,
    ),
    entity_row(
        on_owner,
        "DeleteSSHPublicKey",
        named_credentials.DeleteSSHPublicKeyRequest,
        named_credentials.delete_ssh_public_key,
    ),
    entity_row(
        on_owner,
        "DeleteSigningCertificate",
        named_credentials.DeleteSigningCertificateRequest,
        named_credentials.delete_signing_certificate,
    ),
    entity_row(
        on_owner,
        "DeleteServiceSpecificCredential",
        named_credentials.DeleteServiceSpecificCredentialRequest,
        named_credentials.delete_service_specific_credential,
    ),
    entity_row(
        named_credentials.on_server_certificate,
        "GetServerCertificate",
        named_credentials.ServerCertificateRequest,
        named_credentials.get_server_certificate,
    ),
    entity_row(
        named_credentials.on_server_certificate,
        "DeleteServerCertificate",
        named_credentials.ServerCertificateRequest,
        named_credentials.delete_server_certificate,
    ),
)
