"""Access of another account to a key: the operations that a policy can allow, and what refusals disclose."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.credentials import Credentials
from mypy_boto3_kms.client import KMSClient

from accounts import Account
from client_errors import error_code_of, error_of, error_with_status
from clients import client_with
from identities import ACCOUNT, ACCOUNT_ROOT
from local_server import RunningServer
from policies import allow, deny, document

HIDDEN = (
    "on this resource because the resource does not exist in this Region, no resource-based policies allow access, "
    "or a resource-based policy explicitly denies access"
)
Use = Callable[[Any, str], Any]


SPECS: dict[str, Any] = {
    "ENCRYPT_DECRYPT": "SYMMETRIC_DEFAULT",
    "SIGN_VERIFY": "ECC_NIST_P256",
    "GENERATE_VERIFY_MAC": "HMAC_256",
    "KEY_AGREEMENT": "ECC_NIST_P256",
    "ENCAPSULATE_DECAPSULATE": "ML_KEM_768",
}


@pytest.fixture(scope="module")
def all_shared(kms: KMSClient, away: Account) -> dict[str, str]:
    """Return the ARNs, by usage, of keys whose policy lets another account do everything."""
    policy = document(allow(ACCOUNT_ROOT), allow(away.root))
    shared: dict[str, str] = {}
    for usage, spec in SPECS.items():
        wanted: dict[str, Any] = {"KeySpec": spec, "KeyUsage": usage}
        shared[usage] = kms.create_key(Policy=policy, **wanted)["KeyMetadata"]["Arn"]
    return shared


@pytest.fixture(scope="module")
def shared(kms: KMSClient, away: Account, all_shared: dict[str, str]) -> str:
    """Return the ARN of the symmetric one; the other account has an alias, ``alias/theirs``, for a key of its own."""
    arn = all_shared["ENCRYPT_DECRYPT"]
    kms.create_alias(AliasName="alias/shared-with-everyone", TargetKeyId=arn)
    away.kms.create_alias(AliasName="alias/theirs", TargetKeyId=away.kms.create_key()["KeyMetadata"]["KeyId"])
    return arn


# Source: KMS API Reference, "Cross-account use" of each operation.
NOT_ACROSS: dict[str, Use] = {
    "EnableKey": lambda by, key: by.enable_key(KeyId=key),
    "DisableKey": lambda by, key: by.disable_key(KeyId=key),
    "UpdateKeyDescription": lambda by, key: by.update_key_description(KeyId=key, Description="mine"),
    "ScheduleKeyDeletion": lambda by, key: by.schedule_key_deletion(KeyId=key),
    "CancelKeyDeletion": lambda by, key: by.cancel_key_deletion(KeyId=key),
    "CreateAlias": lambda by, key: by.create_alias(AliasName="alias/mine", TargetKeyId=key),
    "GetKeyPolicy": lambda by, key: by.get_key_policy(KeyId=key),
    "PutKeyPolicy": lambda by, key: by.put_key_policy(
        KeyId=key, Policy=document(allow(ACCOUNT_ROOT)), BypassPolicyLockoutSafetyCheck=True
    ),
    "ListKeyPolicies": lambda by, key: by.list_key_policies(KeyId=key),
    "TagResource": lambda by, key: by.tag_resource(KeyId=key, Tags=[{"TagKey": "a", "TagValue": "b"}]),
    "UntagResource": lambda by, key: by.untag_resource(KeyId=key, TagKeys=["a"]),
    "ListResourceTags": lambda by, key: by.list_resource_tags(KeyId=key),
    "EnableKeyRotation": lambda by, key: by.enable_key_rotation(KeyId=key),
    "DisableKeyRotation": lambda by, key: by.disable_key_rotation(KeyId=key),
    "RotateKeyOnDemand": lambda by, key: by.rotate_key_on_demand(KeyId=key),
    "ListKeyRotations": lambda by, key: by.list_key_rotations(KeyId=key),
    "ListAliases": lambda by, key: by.list_aliases(KeyId=key),
    "UpdateAlias": lambda by, key: by.update_alias(AliasName="alias/theirs", TargetKeyId=key),
    "GetKeyLastUsage": lambda by, key: by.get_key_last_usage(KeyId=key),
    "GetParametersForImport": lambda by, key: by.get_parameters_for_import(
        KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
    ),
    "ImportKeyMaterial": lambda by, key: by.import_key_material(KeyId=key, ImportToken=b"x", EncryptedKeyMaterial=b"x"),
    "DeleteImportedKeyMaterial": lambda by, key: by.delete_imported_key_material(KeyId=key),
    "ReplicateKey": lambda by, key: by.replicate_key(KeyId=key, ReplicaRegion="eu-west-1"),
    "UpdatePrimaryRegion": lambda by, key: by.update_primary_region(KeyId=key, PrimaryRegion="eu-west-1"),
}
ACROSS: dict[str, Use] = {
    "DescribeKey": lambda by, key: by.describe_key(KeyId=key),
    "Encrypt": lambda by, key: by.encrypt(KeyId=key, Plaintext=b"x"),
    "Decrypt": lambda by, key: by.decrypt(CiphertextBlob=by.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]),
    "ReEncrypt": lambda by, key: by.re_encrypt(
        CiphertextBlob=by.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"], DestinationKeyId=key
    ),
    "GenerateDataKey": lambda by, key: by.generate_data_key(KeyId=key, NumberOfBytes=8),
    "GenerateDataKeyWithoutPlaintext": lambda by, key: by.generate_data_key_without_plaintext(
        KeyId=key, NumberOfBytes=8
    ),
    "GenerateDataKeyPair": lambda by, key: by.generate_data_key_pair(KeyId=key, KeyPairSpec="ECC_NIST_P256"),
    "GenerateDataKeyPairWithoutPlaintext": lambda by, key: by.generate_data_key_pair_without_plaintext(
        KeyId=key, KeyPairSpec="ECC_NIST_P256"
    ),
    "GetKeyRotationStatus": lambda by, key: by.get_key_rotation_status(KeyId=key),
    "CreateGrant": lambda by, key: by.create_grant(
        KeyId=key, GranteePrincipal=ACCOUNT_ROOT, Operations=["Encrypt", "Decrypt"]
    ),
    "ListGrants": lambda by, key: by.list_grants(KeyId=key),
    "RetireGrant": lambda by, key: by.retire_grant(KeyId=key, GrantId=_grant(by, key)),
    "RevokeGrant": lambda by, key: by.revoke_grant(KeyId=key, GrantId=_grant(by, key)),
}
SIGNING: dict[str, Any] = {"Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"}
MAC: dict[str, Any] = {"Message": b"x", "MacAlgorithm": "HMAC_SHA_256"}
ML_KEM: dict[str, Any] = {"EncapsulationAlgorithm": "ML_KEM"}
ACROSS_BY_USAGE: dict[str, tuple[str, Use]] = {
    "GetPublicKey": ("SIGN_VERIFY", lambda by, key: by.get_public_key(KeyId=key)),
    "Sign": ("SIGN_VERIFY", lambda by, key: by.sign(KeyId=key, **SIGNING)),
    "Verify": (
        "SIGN_VERIFY",
        lambda by, key: by.verify(KeyId=key, **SIGNING, Signature=by.sign(KeyId=key, **SIGNING)["Signature"]),
    ),
    "GenerateMac": ("GENERATE_VERIFY_MAC", lambda by, key: by.generate_mac(KeyId=key, **MAC)),
    "VerifyMac": (
        "GENERATE_VERIFY_MAC",
        lambda by, key: by.verify_mac(KeyId=key, **MAC, Mac=by.generate_mac(KeyId=key, **MAC)["Mac"]),
    ),
    "DeriveSharedSecret": (
        "KEY_AGREEMENT",
        lambda by, key: by.derive_shared_secret(
            KeyId=key, KeyAgreementAlgorithm="ECDH", PublicKey=by.get_public_key(KeyId=key)["PublicKey"]
        ),
    ),
    "Encapsulate": ("ENCAPSULATE_DECAPSULATE", lambda by, key: by.encapsulate(KeyId=key, **ML_KEM)),
    "Decapsulate": (
        "ENCAPSULATE_DECAPSULATE",
        lambda by, key: by.decapsulate(
            KeyId=key,
            **ML_KEM,
            SharedSecretCiphertextBlob=by.encapsulate(KeyId=key, **ML_KEM)["SharedSecretCiphertextBlob"],
        ),
    ),
}
OF_ONES_OWN_ACCOUNT = {
    *("CreateKey", "ListKeys", "ListRetirableGrants", "DeleteAlias", "GenerateRandom"),
    *("CreateCustomKeyStore", "DescribeCustomKeyStores", "UpdateCustomKeyStore"),
    *("ConnectCustomKeyStore", "DisconnectCustomKeyStore", "DeleteCustomKeyStore"),
}
"""What a request of these names belongs to the caller's own account, or does not exist for the caller."""


def _grant(by: Any, key: str) -> str:
    return str(by.create_grant(KeyId=key, GranteePrincipal=ACCOUNT_ROOT, Operations=["Encrypt"])["GrantId"])


def test_every_operation_is_listed_once(kms: KMSClient) -> None:
    listed = [*NOT_ACROSS, *ACROSS, *ACROSS_BY_USAGE, *OF_ONES_OWN_ACCOUNT]
    assert sorted(listed) == sorted(kms.meta.service_model.operation_names)


@pytest.mark.parametrize("operation", NOT_ACROSS)
def test_administration_stays_in_the_account_of_the_key(
    kms: KMSClient, away: Account, shared: str, operation: str
) -> None:
    before = kms.describe_key(KeyId=shared)["KeyMetadata"]
    missing = shared[:-12] + "0" * 12
    refusal = error_of(NOT_ACROSS[operation], by=away.kms, key=shared)
    assert refusal["Code"] == "AccessDeniedException"
    assert refusal["Message"].endswith(HIDDEN)
    # The refusal does not tell whether the key exists.
    assert error_of(NOT_ACROSS[operation], by=away.kms, key=missing) == refusal
    assert kms.describe_key(KeyId=shared)["KeyMetadata"] == before


def test_what_is_refused_does_not_tell_whether_a_key_exists(kms: KMSClient, away: Account) -> None:
    """Neither the destination of ReEncrypt, nor the key of a ciphertext."""
    private = kms.create_key()["KeyMetadata"]["Arn"]
    own = away.kms.create_key()["KeyMetadata"]["Arn"]
    missing = private[:-12] + "0" * 12
    theirs = away.kms.encrypt(KeyId=own, Plaintext=b"x")["CiphertextBlob"]
    refusals = [
        error_of(away.kms.re_encrypt, CiphertextBlob=theirs, DestinationKeyId=each) for each in (private, missing)
    ]
    user = f"User: {away.root} is not authorized to perform: kms:"
    assert refusals == [{"Code": "AccessDeniedException", "Message": f"{user}ReEncryptTo {HIDDEN}"}] * 2
    refusals = [
        error_of(away.kms.re_encrypt, CiphertextBlob=theirs, SourceKeyId=each, DestinationKeyId=own)
        for each in (private, missing)
    ]
    assert refusals == [{"Code": "AccessDeniedException", "Message": f"{user}ReEncryptFrom {HIDDEN}"}] * 2

    blob = kms.encrypt(KeyId=private, Plaintext=b"x")["CiphertextBlob"]
    nobodys = blob[:1] + bytes(32) + blob[33:]
    hidden = HIDDEN.replace("on this resource", "on the resource associated with this ciphertext")
    for each in (blob, nobodys):
        refusal = {"Code": "AccessDeniedException", "Message": f"{user}Decrypt {hidden}"}
        assert error_of(away.kms.decrypt, CiphertextBlob=each) == refusal
        refusal = {"Code": "AccessDeniedException", "Message": f"{user}ReEncryptFrom {hidden}"}
        assert error_of(away.kms.re_encrypt, CiphertextBlob=each, DestinationKeyId=own) == refusal
        assert error_code_of(away.kms.decrypt, CiphertextBlob=each, KeyId=own) == "IncorrectKeyException"


@pytest.mark.parametrize("operation", ACROSS)
def test_use_crosses_accounts_where_policies_allow_it(away: Account, shared: str, operation: str) -> None:
    assert ACROSS[operation](away.kms, shared)["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("operation", ACROSS_BY_USAGE)
def test_keys_of_every_usage_are_used_across_accounts(
    away: Account, all_shared: dict[str, str], operation: str
) -> None:
    usage, use = ACROSS_BY_USAGE[operation]
    assert use(away.kms, all_shared[usage])["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_lists_aliases_and_stores_are_those_of_ones_own_account(kms: KMSClient, away: Account, shared: str) -> None:
    assert shared not in {each["KeyArn"] for each in away.kms.list_keys(Limit=1000)["Keys"]}
    refusal = error_of(away.kms.delete_alias, AliasName="alias/shared-with-everyone")
    assert refusal["Message"] == f"Alias arn:aws:kms:us-east-1:{away.account}:alias/shared-with-everyone is not found."
    store = kms.create_custom_key_store(
        CustomKeyStoreName="not for others",
        CloudHsmClusterId="cluster-abcdefghijk",
        TrustAnchorCertificate="certificate",
        KeyStorePassword="correct horse",
    )["CustomKeyStoreId"]
    for call in (
        *(away.kms.describe_custom_key_stores, away.kms.update_custom_key_store, away.kms.connect_custom_key_store),
        *(away.kms.disconnect_custom_key_store, away.kms.delete_custom_key_store),
    ):
        assert error_code_of(call, CustomKeyStoreId=store) == "CustomKeyStoreNotFoundException"
    assert away.kms.describe_custom_key_stores()["CustomKeyStores"] == []
    kms.delete_custom_key_store(CustomKeyStoreId=store)


def test_what_is_denied_to_oneself_does_not_show_what_others_have(away: Account, kms: KMSClient) -> None:
    hidden = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/payroll", TargetKeyId=hidden["KeyId"])
    spy = away.identities.user(allow(), deny(do="kms:DescribeKey"))
    for name in ("payroll", "nothing-there"):
        refusal = error_of(spy.kms.describe_key, KeyId=f"arn:aws:kms:us-east-1:{ACCOUNT}:alias/{name}")
        assert refusal["Message"] == f"User: {spy.arn} is not authorized to perform: kms:DescribeKey {HIDDEN}"


def test_a_simulation_discloses_no_principals_of_other_accounts(away: Account, identities: Any) -> None:
    victim = identities.user(tags={"clearance": "top"})
    condition = {"StringLike": {"aws:PrincipalTag/clearance": "*"}}
    (result,) = away.iam.simulate_custom_policy(
        PolicyInputList=[document(allow(do="kms:Encrypt", when=condition))],
        ActionNames=["kms:Encrypt"],
        CallerArn=victim.arn,
    )["EvaluationResults"]
    assert result["EvalDecision"] == "implicitDeny"


def test_a_name_is_no_access_key(server: RunningServer, away: Account) -> None:
    """A principal that was looked up by its ARN must not become an access key that can sign."""
    policy = document(allow(do="kms:Encrypt"))
    for name in (ACCOUNT_ROOT, away.root, "backup.amazonaws.com"):
        if name.startswith("arn:"):
            asked: dict[str, Any] = {"PolicyInputList": [policy], "ActionNames": ["kms:Encrypt"], "CallerArn": name}
            away.iam.simulate_custom_policy(**asked)
        for secret in ("", "x"):
            forged = client_with(server, "iam", Credentials(name, secret))
            assert error_with_status(403, forged.list_users)["Code"] in {"InvalidClientTokenId", "IncompleteSignature"}
