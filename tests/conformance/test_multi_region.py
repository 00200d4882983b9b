"""Related multi-Region keys in three Regions: shared and separate properties, and keys that cannot be replicated."""

from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient
from mypy_boto3_kms.type_defs import TagTypeDef

from client_errors import error_code_of, error_of
from multi_region_keys import ACCOUNT, EAST, SOUTH, WEST, arn, describe, multi_region_roles, new_primary

NEVER = "mrk-" + "0" * 32


# --- replicating


def test_a_replica_shares_its_primarys_properties_and_has_defaults_for_the_rest(
    east: KMSClient, west: KMSClient
) -> None:
    tag = {"TagKey": "team", "TagValue": "x"}
    key_id = new_primary(east, Description="first", Tags=[tag])
    answer = east.replicate_key(KeyId=arn(EAST, key_id), ReplicaRegion=WEST)
    metadata: dict[str, Any] = dict(answer["ReplicaKeyMetadata"])
    assert "ReplicaTags" not in set(answer)
    assert '"Id" : "key-default-1"' in answer["ReplicaPolicy"]
    primary = describe(east, key_id)
    assert describe(west, key_id) == metadata | {"CurrentKeyMaterialId": primary["CurrentKeyMaterialId"]}
    assert metadata.pop("CreationDate") >= primary["CreationDate"]
    assert metadata == {
        "AWSAccountId": ACCOUNT,
        "KeyId": key_id,
        "Arn": arn(WEST, key_id),
        "Enabled": True,
        "Description": "",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": True,
        "MultiRegionConfiguration": {
            "MultiRegionKeyType": "REPLICA",
            "PrimaryKey": {"Arn": arn(EAST, key_id), "Region": EAST},
            "ReplicaKeys": [{"Arn": arn(WEST, key_id), "Region": WEST}],
        },
    }
    assert west.list_resource_tags(KeyId=key_id)["Tags"] == []
    assert west.get_key_policy(KeyId=key_id)["Policy"] == answer["ReplicaPolicy"]
    assert key_id in {each["KeyId"] for each in west.list_keys(Limit=1000)["Keys"]}


def test_a_replica_has_what_the_request_gives_it(east: KMSClient, west: KMSClient) -> None:
    key_id = new_primary(east)
    policy = east.get_key_policy(KeyId=key_id)["Policy"].replace("key-default-1", "replica")
    tag: TagTypeDef = {"TagKey": "team", "TagValue": "x"}
    answer = east.replicate_key(KeyId=key_id, ReplicaRegion=WEST, Description="second", Tags=[tag], Policy=policy)
    assert (answer["ReplicaTags"], answer["ReplicaPolicy"]) == ([tag], policy)
    assert answer["ReplicaKeyMetadata"]["Description"] == "second"
    assert west.list_resource_tags(KeyId=key_id)["Tags"] == [tag]
    assert west.get_key_policy(KeyId=key_id)["Policy"] == policy
    assert '"Id" : "key-default-1"' in east.get_key_policy(KeyId=key_id)["Policy"]


def test_every_related_key_knows_all_of_them(east: KMSClient, west: KMSClient, south: KMSClient, pair: str) -> None:
    east.replicate_key(KeyId=pair, ReplicaRegion=SOUTH)
    assert multi_region_roles(east, pair) == ("PRIMARY", EAST, [SOUTH, WEST])
    assert multi_region_roles(west, pair) == multi_region_roles(south, pair) == ("REPLICA", EAST, [SOUTH, WEST])


def test_what_cannot_be_replicated(east: KMSClient, west: KMSClient, pair: str) -> None:
    single = east.create_key()["KeyMetadata"]
    unsupported = "UnsupportedOperationException"
    for kms, key, key_arn in ((east, single["KeyId"], single["Arn"]), (west, pair, arn(WEST, pair))):
        assert error_of(kms.replicate_key, KeyId=key, ReplicaRegion=SOUTH) == {
            "Code": unsupported,
            "Message": f"{key_arn} is not a multi-region primary key.",
        }
    assert error_of(east.replicate_key, KeyId=NEVER, ReplicaRegion=WEST) == {
        "Code": "NotFoundException",
        "Message": f"Key '{arn(EAST, NEVER)}' does not exist",
    }
    assert error_code_of(east.replicate_key, KeyId="alias/x", ReplicaRegion=WEST) == "InvalidArnException"
    assert error_code_of(west.replicate_key, KeyId=arn(EAST, pair), ReplicaRegion=SOUTH) == "NotFoundException"
    for bad in ("Mars", "us-east-1\n", "us-east-", ""):
        assert error_code_of(east.replicate_key, KeyId=pair, ReplicaRegion=bad) == "ValidationException"
    assert multi_region_roles(east, pair) == ("PRIMARY", EAST, [WEST])


def test_a_replica_region_must_be_free_and_served_here(east: KMSClient, west: KMSClient, pair: str) -> None:
    taken = "AlreadyExistsException"
    assert error_code_of(east.replicate_key, KeyId=pair, ReplicaRegion=EAST) == taken
    assert error_code_of(east.replicate_key, KeyId=pair, ReplicaRegion=WEST) == taken
    west.schedule_key_deletion(KeyId=pair)
    assert error_code_of(east.replicate_key, KeyId=pair, ReplicaRegion=WEST) == taken
    assert error_of(east.replicate_key, KeyId=pair, ReplicaRegion="eu-north-1") == {
        "Code": "ValidationException",
        "Message": "Region eu-north-1 is not served here; this server serves us-east-1, eu-west-1, ap-southeast-2.",
    }


def test_the_primarys_state_decides_whether_it_can_be_replicated(east: KMSClient) -> None:
    key_id = new_primary(east)
    east.disable_key(KeyId=key_id)
    assert error_of(east.replicate_key, KeyId=key_id, ReplicaRegion=WEST) == {
        "Code": "DisabledException",
        "Message": f"{arn(EAST, key_id)} is disabled.",
    }
    east.schedule_key_deletion(KeyId=key_id)
    assert error_of(east.replicate_key, KeyId=key_id, ReplicaRegion=WEST) == {
        "Code": "KMSInvalidStateException",
        "Message": f"{arn(EAST, key_id)} is pending deletion.",
    }
    external = new_primary(east, Origin="EXTERNAL")
    assert error_of(east.replicate_key, KeyId=external, ReplicaRegion=WEST) == {
        "Code": "KMSInvalidStateException",
        "Message": f"{arn(EAST, external)} is pending import.",
    }


def test_a_replica_that_could_not_be_made_leaves_no_trace(east: KMSClient, west: KMSClient) -> None:
    key_id = new_primary(east)
    locked = '{"Statement":{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"kms:List*","Resource":"*"}}'
    twice = [{"TagKey": "a", "TagValue": "1"}] * 2
    for arguments, code in (
        ({"Policy": "{"}, "MalformedPolicyDocumentException"),
        ({"Policy": locked}, "MalformedPolicyDocumentException"),
        ({"Tags": twice}, "TagException"),
        ({"Tags": [*twice[:1], {"TagKey": "A", "TagValue": "1"}]}, "TagException"),
        ({"Tags": [{"TagKey": "a", "TagValue": "<1"}]}, "TagException"),
    ):
        assert error_code_of(east.replicate_key, KeyId=key_id, ReplicaRegion=WEST, **arguments) == code
    assert multi_region_roles(east, key_id) == ("PRIMARY", EAST, [])
    assert error_code_of(west.describe_key, KeyId=key_id) == "NotFoundException"
    east.replicate_key(KeyId=key_id, ReplicaRegion=WEST, Policy=locked, BypassPolicyLockoutSafetyCheck=True)
    assert error_code_of(west.describe_key, KeyId=key_id) == "AccessDeniedException"


# --- using


def test_what_one_region_encrypts_every_related_key_decrypts(
    east: KMSClient, west: KMSClient, south: KMSClient, pair: str
) -> None:
    context = {"tier": "gold"}
    blob = west.encrypt(KeyId=pair, Plaintext=b"x", EncryptionContext=context)["CiphertextBlob"]
    east.replicate_key(KeyId=pair, ReplicaRegion=SOUTH)
    for kms, region in ((east, EAST), (west, WEST), (south, SOUTH)):
        answer = kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)
        assert (answer["Plaintext"], answer["KeyId"]) == (b"x", arn(region, pair))
        assert error_code_of(kms.decrypt, CiphertextBlob=blob) == "InvalidCiphertextException"
    moved = south.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=context, DestinationKeyId=pair)
    assert east.decrypt(CiphertextBlob=moved["CiphertextBlob"], KeyId=pair)["Plaintext"] == b"x"


def test_what_a_single_region_key_encrypts_stays_in_its_region(east: KMSClient, west: KMSClient) -> None:
    lone_primary, single = new_primary(east), east.create_key()["KeyMetadata"]["KeyId"]
    for key_id in (lone_primary, single):
        blob = east.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
        assert error_code_of(west.decrypt, CiphertextBlob=blob) == "AccessDeniedException"
        assert error_code_of(west.encrypt, KeyId=key_id, Plaintext=b"x") == "NotFoundException"
        assert error_of(west.decrypt, CiphertextBlob=blob, KeyId=arn(EAST, key_id)) == {
            "Code": "NotFoundException",
            "Message": f"Invalid arn {EAST}",
        }


def test_hmacs_are_the_same_in_every_region(east: KMSClient, west: KMSClient) -> None:
    key_id = new_primary(east, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    east.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
    request: Any = {"KeyId": key_id, "Message": b"m", "MacAlgorithm": "HMAC_SHA_256"}
    mac = west.generate_mac(**request)["Mac"]
    assert east.generate_mac(**request)["Mac"] == mac
    assert east.verify_mac(**request, Mac=mac)["MacValid"]


@pytest.mark.parametrize(
    ("spec", "algorithm"),
    [
        ("ECC_NIST_P256", "ECDSA_SHA_256"),
        ("RSA_2048", "RSASSA_PSS_SHA_256"),
        ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512"),
        ("ML_DSA_44", "ML_DSA_SHAKE_256"),
    ],
)
def test_signatures_are_good_in_every_region(east: KMSClient, west: KMSClient, spec: Any, algorithm: Any) -> None:
    key_id = new_primary(east, KeySpec=spec, KeyUsage="SIGN_VERIFY")
    east.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
    assert east.get_public_key(KeyId=key_id)["PublicKey"] == west.get_public_key(KeyId=key_id)["PublicKey"]
    for signer, verifier in ((east, west), (west, east)):
        made = signer.sign(KeyId=key_id, Message=b"m", SigningAlgorithm=algorithm)["Signature"]
        assert verifier.verify(KeyId=key_id, Message=b"m", SigningAlgorithm=algorithm, Signature=made)["SignatureValid"]


# --- what is not shared


def test_disabling_one_key_leaves_its_relatives_enabled(east: KMSClient, west: KMSClient, pair: str) -> None:
    blob = east.encrypt(KeyId=pair, Plaintext=b"x")["CiphertextBlob"]
    east.disable_key(KeyId=pair)
    assert west.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert error_code_of(east.decrypt, CiphertextBlob=blob) == "DisabledException"
    west.disable_key(KeyId=pair)
    east.enable_key(KeyId=pair)
    assert (describe(east, pair)["KeyState"], describe(west, pair)["KeyState"]) == ("Enabled", "Disabled")


def test_aliases_tags_descriptions_policies_and_grants_are_each_keys_own(
    east: KMSClient, west: KMSClient, pair: str
) -> None:
    east.create_alias(AliasName="alias/both", TargetKeyId=pair)
    assert error_code_of(west.describe_key, KeyId="alias/both") == "NotFoundException"
    other = west.create_key()["KeyMetadata"]["KeyId"]
    west.create_alias(AliasName="alias/both", TargetKeyId=other)
    assert describe(east, "alias/both")["KeyId"] == pair
    east.tag_resource(KeyId=pair, Tags=[{"TagKey": "a", "TagValue": "b"}])
    east.update_key_description(KeyId=pair, Description="changed")
    policy = east.get_key_policy(KeyId=pair)["Policy"]
    east.put_key_policy(KeyId=pair, Policy=policy.replace("key-default-1", "mine"))
    grantee = f"arn:aws:iam::{ACCOUNT}:root"
    grant = east.create_grant(KeyId=pair, GranteePrincipal=grantee, Operations=["Decrypt"])
    assert west.list_resource_tags(KeyId=pair)["Tags"] == []
    assert describe(west, pair)["Description"] == ""
    assert west.get_key_policy(KeyId=pair)["Policy"] == policy
    assert west.list_grants(KeyId=pair)["Grants"] == []
    assert error_code_of(west.revoke_grant, KeyId=pair, GrantId=grant["GrantId"]) == "NotFoundException"
    assert len(east.list_grants(KeyId=pair)["Grants"]) == 1
