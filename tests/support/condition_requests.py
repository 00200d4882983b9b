"""Requests with the members that conditions can ask about: one for each operation of KMS, IAM and STS.

``MEMBERS`` holds every member that a condition key has its value from.
"""

import base64
import json
from typing import Any

import msgspec

from local_deployment import ORIGIN, LocalDeployment
from strongroom.operations.context import Context, Origin
from strongroom.operations.iam.table import IAM_TABLE
from strongroom.operations.kms.table import TABLE
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Request
from strongroom.operations.sts.table import STS_TABLE

NOW = 1_790_000_000.0
KEY_ID = "12345678-1234-1234-1234-123456789012"
DATA = base64.b64encode(bytes(32)).decode()
ARN = "arn:aws:iam::000000000000:policy/limit"
USER, SERVICE = "arn:aws:iam::000000000000:user/ann", "backup.amazonaws.com"
TAGS = {"kms": [{"TagKey": "Team", "TagValue": "red"}], "iam": [{"Key": "Team", "Value": "red"}]}
TAGS["sts"] = TAGS["iam"]
BUCKET = "arn:aws:s3:us-east-1:000000000000:bucket"
CONSTRAINTS = {"EncryptionContextEquals": {"Team": "red"}, "SourceArn": BUCKET}
TEAM = ("kms:encryptioncontext:team", ("red",))

MEMBERS: dict[str, tuple[Any, list[tuple[str, tuple[str, ...]]]]] = {
    "BypassPolicyLockoutSafetyCheck": (True, [("kms:bypasspolicylockoutsafetycheck", ("true",))]),
    "Constraints": (
        CONSTRAINTS,
        [
            ("kms:grantconstrainttype", ("EncryptionContextEquals",)),
            ("kms:grantconstraintsourcearn", (BUCKET,)),
            TEAM,
            ("kms:encryptioncontextkeys", ("Team",)),
        ],
    ),
    "CustomerMasterKeySpec": (
        "RSA_2048",
        [("kms:keyspec", ("RSA_2048",)), ("kms:customermasterkeyspec", ("RSA_2048",))],
    ),
    "EncapsulationAlgorithm": ("ML_KEM", [("kms:encapsulationalgorithm", ("ML_KEM",))]),
    "DestinationEncryptionAlgorithm": ("RSAES_OAEP_SHA_1", [("kms:encryptionalgorithm", ("RSAES_OAEP_SHA_1",))]),
    "DestinationEncryptionContext": ({"Team": "red"}, [TEAM]),
    "EncryptionAlgorithm": ("RSAES_OAEP_SHA_1", [("kms:encryptionalgorithm", ("RSAES_OAEP_SHA_1",))]),
    "EncryptionContext": ({"Team": "red"}, [TEAM, ("kms:encryptioncontextkeys", ("Team",))]),
    "ExpirationModel": ("KEY_MATERIAL_DOES_NOT_EXPIRE", [("kms:expirationmodel", ("KEY_MATERIAL_DOES_NOT_EXPIRE",))]),
    "ExternalId": ("external", [("sts:externalid", ("external",))]),
    "GranteePrincipal": (USER, [("kms:granteeprincipal", (USER,))]),
    "GranteeServicePrincipal": (SERVICE, [("kms:granteeserviceprincipal", (SERVICE,))]),
    "KeyAgreementAlgorithm": ("ECDH", [("kms:keyagreementalgorithm", ("ECDH",))]),
    "KeyPairSpec": ("RSA_2048", [("kms:datakeypairspec", ("RSA_2048",))]),
    "KeySpec": (
        "ECC_NIST_P256",
        [("kms:keyspec", ("ECC_NIST_P256",)), ("kms:customermasterkeyspec", ("ECC_NIST_P256",))],
    ),
    "KeyUsage": ("SIGN_VERIFY", [("kms:keyusage", ("SIGN_VERIFY",)), ("kms:customermasterkeyusage", ("SIGN_VERIFY",))]),
    "MacAlgorithm": ("HMAC_SHA_512", [("kms:macalgorithm", ("HMAC_SHA_512",))]),
    "MessageType": ("DIGEST", [("kms:messagetype", ("DIGEST",))]),
    "MultiRegion": (True, [("kms:multiregion", ("true",)), ("kms:multiregionkeytype", ("PRIMARY",))]),
    "Operations": (["Encrypt", "Decrypt"], [("kms:grantoperations", ("Encrypt", "Decrypt"))]),
    "Origin": ("EXTERNAL", [("kms:keyorigin", ("EXTERNAL",))]),
    "PendingWindowInDays": (7, [("kms:schedulekeydeletionpendingwindowindays", ("7",))]),
    "PermissionsBoundary": (ARN, [("iam:permissionsboundary", (ARN,))]),
    "PolicyArn": (ARN, [("iam:policyarn", (ARN,))]),
    "PolicyName": ("default", [("kms:policyname", ("default",))]),
    "PrimaryRegion": ("eu-west-1", [("kms:primaryregion", ("eu-west-1",))]),
    "ReplicaRegion": ("eu-west-1", [("kms:replicaregion", ("eu-west-1",))]),
    "RetiringPrincipal": (USER, [("kms:retiringprincipal", (USER,))]),
    "RetiringServicePrincipal": (SERVICE, [("kms:retiringserviceprincipal", (SERVICE,))]),
    "RoleSessionName": ("session", [("sts:rolesessionname", ("session",))]),
    "RotationPeriodInDays": (180, [("kms:rotationperiodindays", ("180",))]),
    "SigningAlgorithm": ("ECDSA_SHA_256", [("kms:signingalgorithm", ("ECDSA_SHA_256",))]),
    "SourceEncryptionAlgorithm": ("RSAES_OAEP_SHA_1", [("kms:encryptionalgorithm", ("RSAES_OAEP_SHA_1",))]),
    "SourceEncryptionContext": ({"Team": "red"}, [TEAM]),
    "SourceIdentity": ("ann", [("sts:sourceidentity", ("ann",))]),
    "TagKeys": (["Team"], [("aws:tagkeys", ("Team",))]),
    "Tags": (None, [("aws:requesttag/team", ("red",)), ("aws:tagkeys", ("Team",))]),
    "ValidTo": (NOW, [("kms:validto", (str(NOW),))]),
    "WrappingAlgorithm": ("RSAES_OAEP_SHA_256", [("kms:wrappingalgorithm", ("RSAES_OAEP_SHA_256",))]),
    "WrappingKeySpec": ("RSA_3072", [("kms:wrappingkeyspec", ("RSA_3072",))]),
}
"""Member on the wire → a value for it, and the condition keys with the values that they have then."""

REQUIRED = {
    "KeyId": KEY_ID,
    "DestinationKeyId": KEY_ID,
    "Plaintext": DATA,
    "Message": DATA,
    "Signature": DATA,
    "Mac": DATA,
    "PublicKey": DATA,
    "CiphertextBlob": DATA,
    "ImportToken": DATA,
    "EncryptedKeyMaterial": DATA,
    "Policy": "{}",
    "PolicyDocument": "{}",
    "AssumeRolePolicyDocument": "{}",
    "UserName": "ann",
    "GroupName": "staff",
    "RoleName": "app",
    "InstanceProfileName": "app",
    "OpenIDConnectProviderArn": "arn:aws:iam::000000000000:oidc-provider/issuer.example",
    "Url": "https://issuer.example",
    "ThumbprintList": ["0" * 40],
    "ClientID": "app",
    "AccountAlias": "some-alias",
    "VersionId": "v1",
    "RoleArn": "arn:aws:iam::000000000000:role/app",
    "WebIdentityToken": "token",
    "Status": "Active",
    "AccessKeyId": "AKIAIOSFODNN7EXAMPLE",
    "AliasName": "alias/one",
    "TargetKeyId": KEY_ID,
    "CustomKeyStoreId": "cks-1",
    "CustomKeyStoreName": "store",
    "GrantId": "grant",
    "PolicySourceArn": USER,
    "ActionNames": ["kms:Encrypt"],
    "PolicyInputList": ["{}"],
    "Description": "",
    "SharedSecretCiphertextBlob": DATA,
    "SerialNumber": "arn:aws:iam::000000000000:mfa/phone",
    "SSHPublicKeyId": "APKAAAAAAAAAAAAAAAAA",
    "CertificateId": "A" * 24,
    "ServiceSpecificCredentialId": "ACCAAAAAAAAAAAAAAAAA",
    "ServerCertificateName": "site",
    "Arn": USER,
    "JobId": KEY_ID,
    "ServiceNamespace": "kms",
}
"""Values for members that a request cannot go without."""

ROWS = [*TABLE.values(), *IAM_TABLE.values(), *STS_TABLE.values()]
"""Every operation."""


def value_of(row: Operation, member: str) -> object:
    """Return a value for a member; the members ``Tags`` and ``KeySpec`` are not the same everywhere."""
    if member == "KeySpec" and row.name.startswith("GenerateDataKey"):
        return "AES_256"
    return TAGS[row.service] if member == "Tags" else MEMBERS[member][0]


def request_with(row: Operation, *members: str) -> Request:
    """Decode a request that has these members and those that it cannot go without."""
    fields = msgspec.structs.fields(row.request)
    body = {field.encode_name: filler(row, field.encode_name) for field in fields if field.required}
    body |= {member: value_of(row, member) for member in members}
    request: Request = row.decoder.decode(json.dumps(body).encode())
    return request


def filler(row: Operation, member: str) -> object:
    """Return a value for a member that a request cannot go without."""
    return value_of(row, member) if member in MEMBERS else REQUIRED[member]


def context_of(local: LocalDeployment, row: Operation, origin: Origin = ORIGIN) -> Context:
    """Return what a call of an operation by the account root has."""
    return Context(
        backends=local.deployment.backends,
        credential=local.root(),
        region="us-east-1",
        now=NOW,
        action=row.action,
        rule=row.rule,
        cross_account=row.cross_account,
        origin=origin,
    )
