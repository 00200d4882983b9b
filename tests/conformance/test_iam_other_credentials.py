"""Credentials that do not exist here: the lists are empty, and what a request names is not found."""

from typing import Any

import pytest
from botocore.credentials import Credentials
from mypy_boto3_iam.client import IAMClient

from client_errors import error_of, error_with_status
from clients import client_with, response_members
from identities import ACCOUNT, Identities, Person
from local_server import RunningServer
from policies import allow, document

SERIAL = f"arn:aws:iam::{ACCOUNT}:mfa/phone"
LISTS_OF_A_USER = {
    "list_mfa_devices": "MFADevices",
    "list_ssh_public_keys": "SSHPublicKeys",
    "list_signing_certificates": "Certificates",
    "list_service_specific_credentials": "ServiceSpecificCredentials",
}
NAMED: dict[str, tuple[dict[str, str], str]] = {
    "get_login_profile": ({}, "Login Profile for User {} cannot be found."),
    "delete_login_profile": ({}, "Login Profile for User {} cannot be found."),
    "get_mfa_device": (
        {"SerialNumber": SERIAL},
        f"VirtualMFADevice with serial number {SERIAL} does not exist.",
    ),
    "deactivate_mfa_device": (
        {"SerialNumber": SERIAL},
        f"VirtualMFADevice with serial number {SERIAL} does not exist.",
    ),
    "delete_ssh_public_key": (
        {"SSHPublicKeyId": "APKAAAAAAAAAAAAAAAAA"},
        "The Public Key with id APKAAAAAAAAAAAAAAAAA cannot be found.",
    ),
    "delete_signing_certificate": (
        {"CertificateId": "A" * 24},
        f"The Certificate with id {'A' * 24} cannot be found.",
    ),
    "delete_service_specific_credential": (
        {"ServiceSpecificCredentialId": "ACCAAAAAAAAAAAAAAAAA"},
        "The Service Specific Credential with id ACCAAAAAAAAAAAAAAAAA cannot be found.",
    ),
}


@pytest.fixture(scope="module")
def a_user(identities: Identities) -> Person:
    return identities.user(allow(do="iam:*"))


@pytest.mark.parametrize(("operation", "member"), LISTS_OF_A_USER.items())
def test_a_list_of_a_user_is_empty(iam: IAMClient, a_user: Person, operation: str, member: str) -> None:
    empty = {member: [], "IsTruncated": False}
    assert response_members(getattr(iam, operation)(UserName=a_user.name)) == empty
    # Without a name the caller is meant.
    assert response_members(getattr(a_user.iam, operation)()) == empty
    assert response_members(getattr(iam, operation)()) == empty
    assert error_with_status(404, getattr(iam, operation), UserName="absent") == {
        "Code": "NoSuchEntity",
        "Message": "The user with name absent cannot be found.",
    }


@pytest.mark.parametrize(
    ("operation", "arguments", "member"),
    [
        ("list_virtual_mfa_devices", {}, "VirtualMFADevices"),
        ("list_virtual_mfa_devices", {"AssignmentStatus": "Unassigned", "MaxItems": 5}, "VirtualMFADevices"),
        ("list_service_specific_credentials", {"AllUsers": True}, "ServiceSpecificCredentials"),
        ("list_server_certificates", {"PathPrefix": "/cloudfront/"}, "ServerCertificateMetadataList"),
    ],
)
def test_a_list_of_the_account_is_empty(iam: IAMClient, operation: str, arguments: dict[str, Any], member: str) -> None:
    assert response_members(getattr(iam, operation)(**arguments)) == {member: [], "IsTruncated": False}


def test_there_are_no_saml_providers(iam: IAMClient) -> None:
    assert response_members(iam.list_saml_providers()) == {"SAMLProviderList": []}


@pytest.mark.parametrize("operation", NAMED)
def test_what_a_request_names_is_not_found(iam: IAMClient, a_user: Person, operation: str) -> None:
    arguments, message = NAMED[operation]
    missing = {"Code": "NoSuchEntity", "Message": message.format(a_user.name)}
    assert error_with_status(404, getattr(iam, operation), **arguments, UserName=a_user.name) == missing
    assert error_with_status(404, getattr(iam, operation), **arguments, UserName="absent") == {
        "Code": "NoSuchEntity",
        "Message": "The user with name absent cannot be found.",
    }


@pytest.mark.parametrize("operation", ["get_login_profile", "delete_login_profile"])
def test_a_password_of_the_caller(iam: IAMClient, a_user: Person, operation: str) -> None:
    assert error_with_status(404, getattr(a_user.iam, operation)) == {
        "Code": "NoSuchEntity",
        "Message": f"Login Profile for User {a_user.name} cannot be found.",
    }
    assert error_of(getattr(iam, operation))["Code"] == "ValidationError"


def test_what_belongs_to_no_user_is_not_found(iam: IAMClient) -> None:
    assert error_with_status(404, iam.delete_virtual_mfa_device, SerialNumber=SERIAL) == {
        "Code": "NoSuchEntity",
        "Message": f"VirtualMFADevice with serial number {SERIAL} does not exist.",
    }
    for call in (iam.get_server_certificate, iam.delete_server_certificate):
        assert error_with_status(404, call, ServerCertificateName="site") == {
            "Code": "NoSuchEntity",
            "Message": "The Server Certificate with name site cannot be found.",
        }


def test_a_session_of_a_role_has_to_name_the_user(
    server: RunningServer, iam: IAMClient, identities: Identities
) -> None:
    role = identities.role("*")
    policy = document(allow(do="iam:*"))
    iam.put_role_policy(RoleName=role["RoleName"], PolicyName="own", PolicyDocument=policy)
    user = identities.user(allow(do="sts:AssumeRole"))
    key = user.sts.assume_role(RoleArn=role["Arn"], RoleSessionName="session")["Credentials"]
    session = client_with(server, "iam", Credentials(key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"]))
    for operation in LISTS_OF_A_USER:
        assert error_of(getattr(session, operation)) == {
            "Code": "ValidationError",
            "Message": "Must specify userName when calling with non-User credentials",
        }


def test_own_credentials_are_listed_with_a_policy_on_oneself(identities: Identities) -> None:
    """IAM User Guide, "Allows IAM users to manage their own credentials"."""
    own = f"arn:aws:iam::{ACCOUNT}:user/${{aws:username}}"
    user, other = (identities.user(allow(do=["iam:ListMFADevices", "iam:GetMFADevice"], on=own)) for _ in range(2))
    user.iam.list_mfa_devices()
    user.iam.list_mfa_devices(UserName=user.name)
    refusal = error_with_status(403, user.iam.list_mfa_devices, UserName=other.name)
    assert f"on resource: {other.arn}" in refusal["Message"]
    assert error_with_status(403, user.iam.get_mfa_device, SerialNumber=SERIAL)["Code"] == "AccessDenied"


def test_all_users_need_permission_on_all(identities: Identities) -> None:
    auditor = identities.user(allow(do="iam:ListServiceSpecificCredentials", on=f"arn:aws:iam::{ACCOUNT}:user/*"))
    auditor.iam.list_service_specific_credentials(AllUsers=True)
    own = identities.user(allow(do="iam:ListServiceSpecificCredentials", on=f"arn:aws:iam::{ACCOUNT}:user/a"))
    assert error_with_status(403, own.iam.list_service_specific_credentials, AllUsers=True)["Code"] == "AccessDenied"


def test_terraform_deletes_a_user_with_all_it_owns(iam: IAMClient, identities: Identities) -> None:
    """The calls of terraform-provider-aws for ``aws_iam_user`` with ``force_destroy``, in its order.

    Source: hashicorp/terraform-provider-aws, ``internal/service/iam/user.go``. It ignores NoSuchEntity.
    """
    user, group = identities.user(), identities.group()
    named: dict[str, Any] = {"UserName": user.name}
    iam.add_user_to_group(GroupName=group, **named)
    iam.update_access_key(AccessKeyId=user.access_key_id, Status="Inactive", **named)
    iam.create_access_key(**named)
    for each in iam.list_groups_for_user(**named)["Groups"]:
        iam.remove_user_from_group(GroupName=each["GroupName"], **named)
    for key in iam.list_access_keys(**named)["AccessKeyMetadata"]:
        iam.delete_access_key(AccessKeyId=key["AccessKeyId"], **named)
    assert iam.list_ssh_public_keys(**named)["SSHPublicKeys"] == []
    devices = iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"]
    assert devices == []
    assert iam.list_mfa_devices(**named)["MFADevices"] == []
    assert error_with_status(404, iam.delete_login_profile, **named)["Code"] == "NoSuchEntity"
    assert iam.list_signing_certificates(**named)["Certificates"] == []
    assert iam.list_service_specific_credentials(**named)["ServiceSpecificCredentials"] == []
    iam.delete_user(**named)
    assert error_with_status(404, iam.get_user, **named)["Code"] == "NoSuchEntity"
