"""Rows of IAM's table: credentials that no user has here, and reports."""

from collections.abc import Callable, Sequence

from strongroom.operations.context import Context
from strongroom.operations.iam import credential_report, last_accessed, named_credentials, other_credentials
from strongroom.operations.iam.access_keys import locate_access_keys
from strongroom.operations.iam.entities import NamesUser
from strongroom.operations.iam.rows import entity_row, row
from strongroom.operations.targets import Target, no_resource


def _on_owner(action: str) -> Callable[[Context, NamesUser], Sequence[Target]]:
    """Return the locator of requests about what a user owns; without a name, the caller is meant."""
    return lambda context, request: locate_access_keys(context, request, action)


REPORT_ROWS = (
    # --- credentials other than access keys
    entity_row(_on_owner, "ListMFADevices", other_credentials.ListOwnRequest, other_credentials.list_mfa_devices),
    entity_row(
        no_resource,
        "ListVirtualMFADevices",
        other_credentials.ListVirtualMFADevicesRequest,
        other_credentials.list_virtual_mfa_devices,
    ),
    entity_row(
        _on_owner,
        "ListSSHPublicKeys",
        other_credentials.ListSSHPublicKeysRequest,
        other_credentials.list_ssh_public_keys,
    ),
    entity_row(
        _on_owner,
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
    entity_row(
        _on_owner, "GetLoginProfile", named_credentials.LoginProfileRequest, named_credentials.get_login_profile
    ),
    entity_row(
        _on_owner, "DeleteLoginProfile", named_credentials.LoginProfileRequest, named_credentials.delete_login_profile
    ),
    entity_row(
        named_credentials.on_device_user,
        "GetMFADevice",
        named_credentials.GetMFADeviceRequest,
        named_credentials.get_mfa_device,
    ),
    entity_row(
        _on_owner,
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
        _on_owner,
        "DeleteSSHPublicKey",
        named_credentials.DeleteSSHPublicKeyRequest,
        named_credentials.delete_ssh_public_key,
    ),
    entity_row(
        _on_owner,
        "DeleteSigningCertificate",
        named_credentials.DeleteSigningCertificateRequest,
        named_credentials.delete_signing_certificate,
    ),
    entity_row(
        _on_owner,
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
    # --- reports
    entity_row(
        no_resource,
        "GenerateCredentialReport",
        credential_report.GenerateCredentialReportRequest,
        credential_report.generate_credential_report,
    ),
    entity_row(
        no_resource,
        "GetCredentialReport",
        credential_report.GetCredentialReportRequest,
        credential_report.get_credential_report,
    ),
    row(
        "GenerateServiceLastAccessedDetails",
        last_accessed.GenerateServiceLastAccessedDetailsRequest,
        last_accessed.generate_service_last_accessed_details,
        last_accessed.locate_generation,
    ),
    entity_row(
        no_resource,
        "GetServiceLastAccessedDetails",
        last_accessed.GetServiceLastAccessedDetailsRequest,
        last_accessed.get_service_last_accessed_details,
    ),
    entity_row(
        no_resource,
        "GetServiceLastAccessedDetailsWithEntities",
        last_accessed.GetServiceLastAccessedDetailsWithEntitiesRequest,
        last_accessed.get_service_last_accessed_details_with_entities,
    ),
)
