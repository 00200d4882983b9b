"""The parameters that conditions read: each member of each request type reaches its condition key.

``MEMBERS`` was listed when conditions still read members by their names: it holds every member that a condition key
has ever had its value from. A request type that has one of them must pass it on.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from local_deployment import ORIGIN, LocalDeployment
from strongroom.clock import ManualClock
from strongroom.operations.condition_keys import DecisionContext
from strongroom.operations.condition_parameters import NO_PARAMETERS, ConditionParameters, GrantParameters
from strongroom.operations.context import Context
from strongroom.operations.iam.table import IAM_TABLE
from strongroom.operations.kms.table import TABLE
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Request
from strongroom.operations.sts.table import STS_TABLE
from strongroom.operations.targets import Target

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

NOT_FOR_CONDITIONS = {
    # The spec of a data key is not that of the KMS key.
    **dict.fromkeys(
        [("GenerateDataKey", "KeySpec"), ("GenerateDataKeyWithoutPlaintext", "KeySpec")], "another meaning"
    ),
    # A filter of a list is no property of a grant that is made.
    **dict.fromkeys([("ListGrants", "GranteePrincipal"), ("ListGrants", "GranteeServicePrincipal")], "a filter"),
    **dict.fromkeys(
        [("ListRetirableGrants", "RetiringPrincipal"), ("ListRetirableGrants", "RetiringServicePrincipal")], "a filter"
    ),
}

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
    "EncapsulationAlgorithm": "ML_KEM",
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
CASES = [
    (row, field.encode_name)
    for row in ROWS
    for field in msgspec.structs.fields(row.request)
    if field.encode_name in MEMBERS and (row.name, field.encode_name) not in NOT_FOR_CONDITIONS
]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    local = LocalDeployment(Path(tmp_path_factory.mktemp("data")), ManualClock(NOW))
    yield local
    local.deployment.close()


def value_of(row: Operation, member: str) -> object:
    return TAGS[row.service] if member == "Tags" else MEMBERS[member][0]


def request_with(row: Operation, *members: str) -> Request:
    """Decode a request that has these members and those that it cannot go without."""
    fields = msgspec.structs.fields(row.request)
    body = {field.encode_name: filler(row, field.encode_name) for field in fields if field.required}
    body |= {member: value_of(row, member) for member in members}
    request: Request = row.decoder.decode(json.dumps(body).encode())
    return request


def filler(row: Operation, member: str) -> object:
    return value_of(row, member) if member in MEMBERS else REQUIRED[member]


def action_of(row: Operation, member: str) -> str:
    if row.name == "ReEncrypt":
        return "kms:ReEncryptFrom" if member.startswith("Source") else "kms:ReEncryptTo"
    return row.action


def decision(local: LocalDeployment, row: Operation, action: str, request: Request) -> DecisionContext:
    call = Context(
        backends=local.deployment.backends,
        credential=local.root(),
        region="us-east-1",
        now=NOW,
        action=row.action,
        rule=row.rule,
        cross_account=row.cross_account,
        origin=ORIGIN,
    )
    target = Target(action)
    return DecisionContext(call, request, target, (target,))


@pytest.mark.parametrize(("row", "member"), CASES, ids=lambda each: each if isinstance(each, str) else each.name)
def test_a_condition_sees_the_member(local: LocalDeployment, row: Operation, member: str) -> None:
    asked = decision(local, row, action_of(row, member), request_with(row, member))
    assert [(key, asked.read(key)) for key, _ in MEMBERS[member][1]] == MEMBERS[member][1]


def test_every_member_that_conditions_read_belongs_to_some_request() -> None:
    assert {member for _, member in CASES} == set(MEMBERS)
    assert len(CASES) > 80


@pytest.mark.parametrize(("name", "member"), NOT_FOR_CONDITIONS)
def test_a_member_of_another_meaning_is_not_seen(local: LocalDeployment, name: str, member: str) -> None:
    row = TABLE[name]
    if member == "KeySpec":
        request = row.decoder.decode(json.dumps({"KeyId": KEY_ID, "KeySpec": "AES_256"}).encode())
    else:
        request = request_with(row, member)
    asked = decision(local, row, row.action, request)
    assert [asked.read(key) for key, _ in MEMBERS[member][1]] == [None] * len(MEMBERS[member][1])


def test_requests_fill_every_parameter() -> None:
    """A parameter that no request type fills in would be a condition key that never has a value."""
    records = [request_with(row, member).condition_parameters(action_of(row, member)) for row, member in CASES]
    grants = [record.grant for record in records if record.grant is not None]
    assert filled(records, NO_PARAMETERS) == set(ConditionParameters.__struct_fields__)
    nothing = GrantParameters(
        operations=(),
        grantee_principal=None,
        grantee_service_principal=None,
        retiring_principal=None,
        retiring_service_principal=None,
        constraints=None,
    )
    assert filled(grants, nothing) == set(GrantParameters.__struct_fields__)


def filled(records: list[Any], empty: msgspec.Struct) -> set[str]:
    defaults = msgspec.structs.asdict(empty)
    return {name for each in records for name, value in msgspec.structs.asdict(each).items() if value != defaults[name]}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_tokens_and_recipients_are_passed_on_by_every_request_that_has_them(row: Operation) -> None:
    names = {field.encode_name for field in msgspec.structs.fields(row.request)}
    request = request_with(row)
    assert request.presented_grant_tokens() == ()
    assert request.attested_recipient() is None
    body = {"GrantTokens": ["token"], "Recipient": {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}}
    present = {name: value for name, value in body.items() if name in names}
    full = {
        field.encode_name: filler(row, field.encode_name)
        for field in msgspec.structs.fields(row.request)
        if field.required
    }
    request = row.decoder.decode(json.dumps(full | present).encode())
    assert list(request.presented_grant_tokens()) == present.get("GrantTokens", [])
    assert (request.attested_recipient() is not None) == ("Recipient" in present)


def test_parameters_are_collected_once_for_each_decision(local: LocalDeployment) -> None:
    row = TABLE["CreateKey"]
    asked = decision(local, row, row.action, request_with(row, "KeySpec"))
    assert asked.parameters is asked.parameters
