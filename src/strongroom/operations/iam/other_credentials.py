"""Lists of credentials other than access keys: MFA devices, SSH keys, certificates, SAML providers. They are empty.

There are no such credentials here. Programs that look at a user, or that delete one with all it owns, ask for each of
them. ``missing_credentials`` has the operations that name one.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated

import msgspec

from strongroom.iam import PrincipalKind
from strongroom.iam.entities import EntityKind, User
from strongroom.operations.context import Context
from strongroom.operations.iam.access_keys import locate_owner
from strongroom.operations.iam.entities import NamesUser, arn_of, require_name, required
from strongroom.operations.iam.shapes import (
    ExistingUserName,
    PagedRequest,
    PagedResponse,
    PathPrefix,
    UserName,
)
from strongroom.operations.shapes import Request, Response, at_most
from strongroom.operations.targets import Target


class AssignmentStatus(StrEnum):
    """Which virtual MFA devices ListVirtualMFADevices lists."""

    ASSIGNED = "Assigned"
    UNASSIGNED = "Unassigned"
    ANY = "Any"


class ListOwnRequest(PagedRequest):
    """The request of ListMFADevices and ListSigningCertificates; without a name, the caller is meant."""

    user_name: ExistingUserName | None = None


class ListSSHPublicKeysRequest(PagedRequest):
    """The request of ListSSHPublicKeys; without a name, the caller is meant."""

    user_name: UserName | None = None


class ListServiceSpecificCredentialsRequest(PagedRequest):
    """The request of ListServiceSpecificCredentials: of one user, of the caller, or of all users."""

    user_name: UserName | None = None
    service_name: Annotated[str, at_most(128)] | None = None
    all_users: bool | None = None


class ListVirtualMFADevicesRequest(PagedRequest):
    """The request of ListVirtualMFADevices."""

    assignment_status: AssignmentStatus | None = None


class ListServerCertificatesRequest(PagedRequest):
    """The request of ListServerCertificates."""

    path_prefix: PathPrefix | None = None


class ListSAMLProvidersRequest(Request):
    """The request of ListSAMLProviders, which has no parameters."""


class MFADevice(msgspec.Struct, rename="pascal", frozen=True):
    """An MFA device. There is never one here."""

    user_name: str
    serial_number: str
    enable_date: float


class ListMFADevicesResponse(PagedResponse, kw_only=True):
    """The response of ListMFADevices, which is empty."""

    mfa_devices: list[MFADevice] = msgspec.field(name="MFADevices")


class VirtualMFADevice(msgspec.Struct, rename="pascal", frozen=True):
    """A virtual MFA device. There is never one here."""

    serial_number: str


class ListVirtualMFADevicesResponse(PagedResponse, kw_only=True):
    """The response of ListVirtualMFADevices, which is empty."""

    virtual_mfa_devices: list[VirtualMFADevice] = msgspec.field(name="VirtualMFADevices")


class SSHPublicKey(msgspec.Struct, rename="pascal", frozen=True):
    """An SSH public key. There is never one here."""

    user_name: str
    ssh_public_key_id: str = msgspec.field(name="SSHPublicKeyId")
    status: str
    upload_date: float


class ListSSHPublicKeysResponse(PagedResponse, kw_only=True):
    """The response of ListSSHPublicKeys, which is empty."""

    ssh_public_keys: list[SSHPublicKey] = msgspec.field(name="SSHPublicKeys")


class SigningCertificate(msgspec.Struct, rename="pascal", frozen=True):
    """A signing certificate. There is never one here."""

    user_name: str
    certificate_id: str
    certificate_body: str
    status: str


class ListSigningCertificatesResponse(PagedResponse, kw_only=True):
    """The response of ListSigningCertificates, which is empty."""

    certificates: list[SigningCertificate]


class ServiceSpecificCredential(msgspec.Struct, rename="pascal", frozen=True):
    """A credential for one service. There is never one here."""

    user_name: str
    status: str
    create_date: float
    service_specific_credential_id: str
    service_name: str


class ListServiceSpecificCredentialsResponse(PagedResponse, kw_only=True):
    """The response of ListServiceSpecificCredentials, which is empty."""

    service_specific_credentials: list[ServiceSpecificCredential]


class ServerCertificate(msgspec.Struct, rename="pascal", frozen=True):
    """A server certificate in a list. There is never one here."""

    path: str
    server_certificate_name: str
    server_certificate_id: str
    arn: str


class ListServerCertificatesResponse(PagedResponse, kw_only=True):
    """The response of ListServerCertificates, which is empty."""

    server_certificate_metadata_list: list[ServerCertificate]


class SAMLProvider(msgspec.Struct, rename="pascal", frozen=True):
    """A SAML provider. There is never one here."""

    arn: str


class ListSAMLProvidersResponse(Response):
    """The response of ListSAMLProviders, which is empty."""

    saml_provider_list: list[SAMLProvider] = msgspec.field(name="SAMLProviderList")


def on_credential_users(action: str) -> Callable[[Context, ListServiceSpecificCredentialsRequest], Sequence[Target]]:
    """Return the locator of ListServiceSpecificCredentials: one user, or all of them."""

    def locate(context: Context, request: ListServiceSpecificCredentialsRequest) -> Sequence[Target]:
        if request.all_users and request.user_name is None:
            return (Target(action, arn_of(context, EntityKind.USER, "*")),)
        return locate_owner(context, request, action)

    return locate


def list_mfa_devices(context: Context, request: ListOwnRequest) -> ListMFADevicesResponse:
    """Return an empty list, if the user exists."""
    require_owner(context, request)
    return ListMFADevicesResponse(mfa_devices=[])


def list_virtual_mfa_devices(
    _context: Context, _request: ListVirtualMFADevicesRequest
) -> ListVirtualMFADevicesResponse:
    """Return an empty list."""
    return ListVirtualMFADevicesResponse(virtual_mfa_devices=[])


def list_ssh_public_keys(context: Context, request: ListSSHPublicKeysRequest) -> ListSSHPublicKeysResponse:
    """Return an empty list, if the user exists."""
    require_owner(context, request)
    return ListSSHPublicKeysResponse(ssh_public_keys=[])


def list_signing_certificates(context: Context, request: ListOwnRequest) -> ListSigningCertificatesResponse:
    """Return an empty list, if the user exists."""
    require_owner(context, request)
    return ListSigningCertificatesResponse(certificates=[])


def list_service_specific_credentials(
    context: Context, request: ListServiceSpecificCredentialsRequest
) -> ListServiceSpecificCredentialsResponse:
    """Return an empty list, if the user exists."""
    if request.user_name is not None or not request.all_users:
        require_owner(context, request)
    return ListServiceSpecificCredentialsResponse(service_specific_credentials=[])


def list_server_certificates(
    _context: Context, _request: ListServerCertificatesRequest
) -> ListServerCertificatesResponse:
    """Return an empty list."""
    return ListServerCertificatesResponse(server_certificate_metadata_list=[])


def list_saml_providers(_context: Context, _request: ListSAMLProvidersRequest) -> ListSAMLProvidersResponse:
    """Return an empty list."""
    return ListSAMLProvidersResponse(saml_provider_list=[])


def require_owner(context: Context, request: NamesUser) -> None:
    """Refuse a user that does not exist.

    Without a name the caller is meant: a user, or the root, which owns none of these either. Raises
    NoSuchEntityException, and ValidationException where any other caller left out the name.
    """
    name = request.user_name or context.caller.user_name
    if name is None and context.caller.kind is PrincipalKind.ACCOUNT_ROOT:
        return
    with context.read() as reader:
        required(reader, User, context.caller.account, require_name(name))
