"""Operations that name a credential other than an access key, such as a password. There are none: NoSuchEntity.

Programs call them for whatever ``other_credentials`` lists, and some without looking first.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, NoReturn

import msgspec
from msgspec import Meta

from strongroom.errors import NoSuchEntityException
from strongroom.iam.entities import User
from strongroom.operations.context import Context
from strongroom.operations.iam.access_keys import locate_owner
from strongroom.operations.iam.entities import require_name, required
from strongroom.operations.iam.other_credentials import ServerCertificate, require_owner
from strongroom.operations.iam.shapes import ExistingUserName, UserName
from strongroom.operations.shapes import Empty, Request, Response, matching
from strongroom.operations.targets import Target

SerialNumber = Annotated[str, Meta(min_length=9, max_length=256), matching(r"[\w+=/:,.@-]+")]
PublicKeyId = Annotated[str, Meta(min_length=20, max_length=128), matching(r"[\w]+")]
CertificateId = Annotated[str, Meta(min_length=24, max_length=128), matching(r"[\w]+")]
ServerCertificateName = Annotated[str, Meta(min_length=1, max_length=128), matching(r"[\w+=,.@-]+")]


class LoginProfileRequest(Request):
    """The request of GetLoginProfile and DeleteLoginProfile; without a name, the caller is meant."""

    user_name: UserName | None = None


class GetMFADeviceRequest(Request):
    """The request of GetMFADevice; without a name, the caller is meant."""

    serial_number: SerialNumber
    user_name: UserName | None = None


class DeactivateMFADeviceRequest(Request):
    """The request of DeactivateMFADevice; without a name, the caller is meant."""

    serial_number: SerialNumber
    user_name: ExistingUserName | None = None


class DeleteVirtualMFADeviceRequest(Request):
    """The request of DeleteVirtualMFADevice."""

    serial_number: SerialNumber


class DeleteSSHPublicKeyRequest(Request):
    """The request of DeleteSSHPublicKey."""

    user_name: UserName
    ssh_public_key_id: PublicKeyId = msgspec.field(name="SSHPublicKeyId")


class DeleteSigningCertificateRequest(Request):
    """The request of DeleteSigningCertificate; without a name, the caller is meant."""

    certificate_id: CertificateId
    user_name: ExistingUserName | None = None


class DeleteServiceSpecificCredentialRequest(Request):
    """The request of DeleteServiceSpecificCredential; without a name, the caller is meant."""

    service_specific_credential_id: PublicKeyId
    user_name: UserName | None = None


class ServerCertificateRequest(Request):
    """The request of GetServerCertificate and DeleteServerCertificate."""

    server_certificate_name: ServerCertificateName


class LoginProfile(msgspec.Struct, rename="pascal", frozen=True):
    """A user's password. There is never one here."""

    user_name: str
    create_date: float


class GetLoginProfileResponse(Response):
    """The response that GetLoginProfile would have."""

    login_profile: LoginProfile


class GetMFADeviceResponse(Response):
    """The response that GetMFADevice would have."""

    serial_number: str


class ServerCertificateDetail(msgspec.Struct, rename="pascal", frozen=True):
    """A server certificate. There is never one here."""

    server_certificate_metadata: ServerCertificate
    certificate_body: str


class GetServerCertificateResponse(Response):
    """The response that GetServerCertificate would have."""

    server_certificate: ServerCertificateDetail


def on_device_user(action: str) -> Callable[[Context, GetMFADeviceRequest], Sequence[Target]]:
    """Return the locator of GetMFADevice: the user, if one is named; else its device could be anyone's."""

    def locate(context: Context, request: GetMFADeviceRequest) -> Sequence[Target]:
        return (Target(action),) if request.user_name is None else locate_owner(context, request, action)

    return locate


def on_virtual_device(action: str) -> Callable[[Context, DeleteVirtualMFADeviceRequest], Sequence[Target]]:
    """Return the locator of requests that name a virtual MFA device: its serial number is its ARN."""
    return lambda _, request: (Target(action, request.serial_number),)


def on_server_certificate(action: str) -> Callable[[Context, ServerCertificateRequest], Sequence[Target]]:
    """Return the locator of requests that name a server certificate."""

    def locate(context: Context, request: ServerCertificateRequest) -> Sequence[Target]:
        place = f"arn:{context.caller.partition}:iam::{context.caller.account}:server-certificate"
        return (Target(action, f"{place}/{request.server_certificate_name}"),)

    return locate


def get_login_profile(context: Context, request: LoginProfileRequest) -> GetLoginProfileResponse:
    """Raise NoSuchEntityException: no user has a password."""
    _no_login_profile(context, request)


def delete_login_profile(context: Context, request: LoginProfileRequest) -> Empty:
    """Raise NoSuchEntityException: no user has a password."""
    _no_login_profile(context, request)


def get_mfa_device(context: Context, request: GetMFADeviceRequest) -> GetMFADeviceResponse:
    """Raise NoSuchEntityException: no user has an MFA device."""
    if request.user_name is not None:
        require_owner(context, request)
    _no_device(request.serial_number)


def deactivate_mfa_device(context: Context, request: DeactivateMFADeviceRequest) -> Empty:
    """Raise NoSuchEntityException: no user has an MFA device."""
    require_owner(context, request)
    _no_device(request.serial_number)


def delete_virtual_mfa_device(_context: Context, request: DeleteVirtualMFADeviceRequest) -> Empty:
    """Raise NoSuchEntityException: there are no MFA devices."""
    _no_device(request.serial_number)


def delete_ssh_public_key(context: Context, request: DeleteSSHPublicKeyRequest) -> Empty:
    """Raise NoSuchEntityException: no user has an SSH key."""
    require_owner(context, request)
    raise NoSuchEntityException(f"The Public Key with id {request.ssh_public_key_id} cannot be found.")


def delete_signing_certificate(context: Context, request: DeleteSigningCertificateRequest) -> Empty:
    """Raise NoSuchEntityException: no user has a certificate."""
    require_owner(context, request)
    raise NoSuchEntityException(f"The Certificate with id {request.certificate_id} cannot be found.")


def delete_service_specific_credential(context: Context, request: DeleteServiceSpecificCredentialRequest) -> Empty:
    """Raise NoSuchEntityException: no user has a credential for one service."""
    require_owner(context, request)
    named = request.service_specific_credential_id
    raise NoSuchEntityException(f"The Service Specific Credential with id {named} cannot be found.")


def get_server_certificate(_context: Context, request: ServerCertificateRequest) -> GetServerCertificateResponse:
    """Raise NoSuchEntityException: there are no server certificates."""
    _no_server_certificate(request)


def delete_server_certificate(_context: Context, request: ServerCertificateRequest) -> Empty:
    """Raise NoSuchEntityException: there are no server certificates."""
    _no_server_certificate(request)


def _no_login_profile(context: Context, request: LoginProfileRequest) -> NoReturn:
    name = require_name(request.user_name or context.caller.user_name)
    with context.read() as reader:
        user = required(reader, User, context.caller.account, name)
    raise NoSuchEntityException(f"Login Profile for User {user.name} cannot be found.")


def _no_device(serial_number: str) -> NoReturn:
    raise NoSuchEntityException(f"VirtualMFADevice with serial number {serial_number} does not exist.")


def _no_server_certificate(request: ServerCertificateRequest) -> NoReturn:
    name = request.server_certificate_name
    raise NoSuchEntityException(f"The Server Certificate with name {name} cannot be found.")
