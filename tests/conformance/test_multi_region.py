"""Related multi-Region keys in three Regions of one server: what they share, what they do not, and who refuses what."""

from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from refusals import code_of, refusal_of

ACCOUNT = "000000000000"
EAST, WEST, SOUTH = "us-east-1", "eu-west-1", "ap-southeast-2"
NEVER = "mrk-" + "0" * 32


def arn(region: str, key_id: str) -> str:
    return f"arn:aws:kms:{region}:{ACCOUNT}:key/{key_id}"


def new_primary(kms: KMSClient, **arguments: Any) -> str:
    return kms.create_key(MultiRegion=True, **arguments)["KeyMetadata"]["KeyId"]


def describe(kms: KMSClient, key_id: str) -> dict[str, Any]:
    return dict(kms.describe_key(KeyId=key_id)["KeyMetadata"])


def related(kms: KMSClient, key_id: str) -> tuple[str, str, list[str]]:
    """Return a key's part, and the Regions of the primary and of the replicas."""
    found = describe(kms, key_id)["MultiRegionConfiguration"]
    for each in (found["PrimaryKey"], *found["ReplicaKeys"]):
        assert each["Arn"] == arn(each["Region"], key_id)
    return (
        found["MultiRegionKeyType"],
        found["PrimaryKey"]["Region"],
        sorted(each["Region"] for each in found["ReplicaKeys"]),
    )


def materials(kms: KMSClient, key_id: str) -> list[tuple[str, str]]:
    listed = kms.list_key_rotations(KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    return [(each["KeyMaterialId"], each["KeyMaterialState"]) for each in listed]


@pytest.fixture
def pair(east: KMSClient) -> str:
    """Return the id of a symmetric primary in us-east-1 that has a replica in eu-west-1."""
    key_id = new_primary(east)
    east.replicate_key(KeyId=key_id, ReplicaRegion=WEST)
    return key_id


# --- replicating


def test_a_replica_shares_its_primarys_properties_and_has_defaults_for_the_rest(
    east: KMSClient, west: KMSClient
) -> None:
    tag = {"TagKey": "team", "TagValue": "x"}
    key_id = new_primary(east, Description="first", Tags=[tag])
    answer = east.replicate_key(KeyId=arn(EAST, key_id), ReplicaRegion=WEST)
    metadata: dict[str, Any] = dict(answer["ReplicaKeyMetadata"])
    assert answer["ReplicaTags"] == []
    assert '"Id" : "key-default-1"' in answer["ReplicaPolicy"]
    assert describe(west, key_id) == metadata
    primary = describe(east, key_id)
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
        "CurrentKeyMaterialId": primary["CurrentKeyMaterialId"],
    }
    assert west.list_resource_tags(KeyId=key_id)["Tags"] == []
    assert west.get_key_policy(KeyId=key_id)["Policy"] == answer["ReplicaPolicy"]
    assert key_id in {each["KeyId"] for each in west.list_keys(Limit=1000)["Keys"]}


def test_a_replica_has_what_the_request_gives_it(east: KMSClient, west: KMSClient) -> None:
    key_id = new_primary(east)
    policy = east.get_key_policy(KeyId=key_id)["Policy"].replace("key-default-1", "replica")
    tag = {"TagKey": "team", "TagValue": "x"}
    answer = east.replicate_key(
        KeyId=key_id,
        ReplicaRegion=WEST,
        Description="second",
        Tags=[tag],
        Policy=policy,  # type: ignore[list-item]
    )
    assert (answer["ReplicaTags"], answer["ReplicaPolicy"]) == ([tag], policy)
    assert answer["ReplicaKeyMetadata"]["Description"] == "second"
    assert west.list_resource_tags(KeyId=key_id)["Tags"] == [tag]
    assert west.get_key_policy(KeyId=key_id)["Policy"] == policy
    assert '"Id" : "key-default-1"' in east.get_key_policy(KeyId=key_id)["Policy"]


def test_every_related_key_knows_all_of_them(east: KMSClient, west: KMSClient, south: KMSClient, pair: str) -> None:
    east.replicate_key(KeyId=pair, ReplicaRegion=SOUTH)
    assert related(east, pair) == ("PRIMARY", EAST, [SOUTH, WEST])
    assert related(west, pair) == related(south, pair) == ("REPLICA", EAST, [SOUTH, WEST])


def test_what_cannot_be_replicated(east: KMSClient, west: KMSClient, pair: str) -> None:
    single = east.create_key()["KeyMetadata"]
    unsupported = "UnsupportedOperationException"
    for kms, key, key_arn in ((east, single["KeyId"], single["Arn"]), (west, pair, arn(WEST, pair))):
        assert refusal_of(kms.replicate_key, KeyId=key, ReplicaRegion=SOUTH) == {
            "Code": unsupported,
            "Message": f"{key_arn} is not a multi-region primary key.",
        }
    assert refusal_of(east.replicate_key, KeyId=NEVER, ReplicaRegion=WEST) == {
        "Code": "NotFoundException",
        "Message": f"Key '{arn(EAST, NEVER)}' does not exist",
    }
    assert code_of(east.replicate_key, KeyId="alias/x", ReplicaRegion=WEST) == "InvalidArnException"
    assert code_of(west.replicate_key, KeyId=arn(EAST, pair), ReplicaRegion=SOUTH) == "NotFoundException"
    for bad in ("Mars", "us-east-1\n", "us-east-", ""):
        assert code_of(east.replicate_key, KeyId=pair, ReplicaRegion=bad) == "ValidationException"
    assert related(east, pair) == ("PRIMARY", EAST, [WEST])


def test_a_replica_region_must_be_free_and_served_here(east: KMSClient, west: KMSClient, pair: str) -> None:
    taken = "AlreadyExistsException"
    assert code_of(east.replicate_key, KeyId=pair, ReplicaRegion=EAST) == taken
    assert code_of(east.replicate_key, KeyId=pair, ReplicaRegion=WEST) == taken
    west.schedule_key_deletion(KeyId=pair)
    assert code_of(east.replicate_key, KeyId=pair, ReplicaRegion=WEST) == taken
    assert refusal_of(east.replicate_key, KeyId=pair, ReplicaRegion="eu-north-1") == {
        "Code": "ValidationException",
        "Message": "Region eu-north-1 is not served here; this deployment serves us-east-1, eu-west-1, ap-southeast-2.",
    }


def test_the_primarys_state_decides_whether_it_can_be_replicated(east: KMSClient) -> None:
    key_id = new_primary(east)
    east.disable_key(KeyId=key_id)
    assert refusal_of(east.replicate_key, KeyId=key_id, ReplicaRegion=WEST) == {
        "Code": "DisabledException",
        "Message": f"{arn(EAST, key_id)} is disabled.",
    }
    east.schedule_key_deletion(KeyId=key_id)
    assert refusal_of(east.replicate_key, KeyId=key_id, ReplicaRegion=WEST) == {
        "Code": "KMSInvalidStateException",
        "Message": f"{arn(EAST, key_id)} is pending deletion.",
    }
    external = new_primary(east, Origin="EXTERNAL")
    assert refusal_of(east.replicate_key, KeyId=external, ReplicaRegion=WEST) == {
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
    ):
        assert code_of(east.replicate_key, KeyId=key_id, ReplicaRegion=WEST, **arguments) == code
    assert related(east, key_id) == ("PRIMARY", EAST, [])
    assert code_of(west.describe_key, KeyId=key_id) == "NotFoundException"
    east.replicate_key(KeyId=key_id, ReplicaRegion=WEST, Policy=locked, BypassPolicyLockoutSafetyCheck=True)
    assert code_of(west.describe_key, KeyId=key_id) == "AccessDeniedException"


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
        assert code_of(kms.decrypt, CiphertextBlob=blob) == "InvalidCiphertextException"
    moved = south.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=context, DestinationKeyId=pair)
    assert east.decrypt(CiphertextBlob=moved["CiphertextBlob"], KeyId=pair)["Plaintext"] == b"x"


def test_what_a_single_region_key_encrypts_stays_in_its_region(east: KMSClient, west: KMSClient) -> None:
    lone_primary, single = new_primary(east), east.create_key()["KeyMetadata"]["KeyId"]
    for key_id in (lone_primary, single):
        blob = east.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
        assert code_of(west.decrypt, CiphertextBlob=blob) == "InvalidCiphertextException"
        assert code_of(west.encrypt, KeyId=key_id, Plaintext=b"x") == "NotFoundException"
        assert refusal_of(west.decrypt, CiphertextBlob=blob, KeyId=arn(EAST, key_id)) == {
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


# --- what each key has for itself


def test_disabling_one_key_leaves_its_relatives_enabled(east: KMSClient, west: KMSClient, pair: str) -> None:
    blob = east.encrypt(KeyId=pair, Plaintext=b"x")["CiphertextBlob"]
    east.disable_key(KeyId=pair)
    assert west.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert code_of(east.decrypt, CiphertextBlob=blob) == "DisabledException"
    west.disable_key(KeyId=pair)
    east.enable_key(KeyId=pair)
    assert (describe(east, pair)["KeyState"], describe(west, pair)["KeyState"]) == ("Enabled", "Disabled")


def test_aliases_tags_descriptions_policies_and_grants_are_each_keys_own(
    east: KMSClient, west: KMSClient, pair: str
) -> None:
    east.create_alias(AliasName="alias/both", TargetKeyId=pair)
    assert code_of(west.describe_key, KeyId="alias/both") == "NotFoundException"
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
    assert code_of(west.revoke_grant, KeyId=pair, GrantId=grant["GrantId"]) == "NotFoundException"
    assert len(east.list_grants(KeyId=pair)["Grants"]) == 1


# --- rotating


def test_rotation_is_set_on_the_primary_and_holds_for_all(east: KMSClient, west: KMSClient, pair: str) -> None:
    east.enable_key_rotation(KeyId=pair, RotationPeriodInDays=180)
    fields = ("KeyRotationEnabled", "RotationPeriodInDays", "NextRotationDate")
    set_here, set_there = (kms.get_key_rotation_status(KeyId=pair) for kms in (east, west))
    assert [set_here.get(name) for name in fields] == [set_there.get(name) for name in fields]
    assert set_there["RotationPeriodInDays"] == 180
    assert set_there["KeyId"] == arn(WEST, pair)
    refused = {
        "Code": "UnsupportedOperationException",
        "Message": f"{arn(WEST, pair)} is not a multi-region primary key.",
    }
    assert refusal_of(west.enable_key_rotation, KeyId=pair) == refused
    assert refusal_of(west.disable_key_rotation, KeyId=pair) == refused
    assert refusal_of(west.rotate_key_on_demand, KeyId=pair) == refused
    east.disable_key_rotation(KeyId=pair)
    assert west.get_key_rotation_status(KeyId=pair)["KeyRotationEnabled"] is False


def test_an_on_demand_rotation_reaches_every_related_key(
    east: KMSClient, west: KMSClient, south: KMSClient, pair: str
) -> None:
    blobs = [west.encrypt(KeyId=pair, Plaintext=b"0")["CiphertextBlob"]]
    for number in (b"1", b"2"):
        east.rotate_key_on_demand(KeyId=pair)
        blobs.append(west.encrypt(KeyId=pair, Plaintext=number)["CiphertextBlob"])
    east.replicate_key(KeyId=pair, ReplicaRegion=SOUTH)
    assert [state for _, state in materials(east, pair)] == ["NON_CURRENT", "NON_CURRENT", "CURRENT"]
    assert materials(east, pair) == materials(west, pair) == materials(south, pair)
    for kms in (east, west, south):
        assert [kms.decrypt(CiphertextBlob=blob)["Plaintext"] for blob in blobs] == [b"0", b"1", b"2"]
    rotations = [kms.list_key_rotations(KeyId=pair)["Rotations"] for kms in (east, west)]
    assert [each["RotationDate"] for each in rotations[0]] == [each["RotationDate"] for each in rotations[1]]


def test_a_disabled_replica_is_rotated_all_the_same(east: KMSClient, west: KMSClient, pair: str) -> None:
    west.disable_key(KeyId=pair)
    east.rotate_key_on_demand(KeyId=pair)
    west.enable_key(KeyId=pair)
    blob = east.encrypt(KeyId=pair, Plaintext=b"x")["CiphertextBlob"]
    assert west.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


# --- another primary


def test_a_replica_becomes_the_primary_and_rotates_for_all(
    east: KMSClient, west: KMSClient, south: KMSClient, pair: str
) -> None:
    east.replicate_key(KeyId=pair, ReplicaRegion=SOUTH)
    east.enable_key_rotation(KeyId=pair)
    blob = east.encrypt(KeyId=pair, Plaintext=b"x")["CiphertextBlob"]
    east.update_primary_region(KeyId=arn(EAST, pair), PrimaryRegion=WEST)
    assert related(west, pair) == ("PRIMARY", WEST, [SOUTH, EAST])
    assert related(east, pair) == related(south, pair) == ("REPLICA", WEST, [SOUTH, EAST])
    assert {describe(kms, pair)["KeyState"] for kms in (east, west, south)} == {"Enabled"}
    assert code_of(east.rotate_key_on_demand, KeyId=pair) == "UnsupportedOperationException"
    west.rotate_key_on_demand(KeyId=pair)
    west.enable_key_rotation(KeyId=pair, RotationPeriodInDays=90)
    new_blob = west.encrypt(KeyId=pair, Plaintext=b"y")["CiphertextBlob"]
    for kms in (east, south):
        assert kms.get_key_rotation_status(KeyId=pair)["RotationPeriodInDays"] == 90
        assert [kms.decrypt(CiphertextBlob=each)["Plaintext"] for each in (blob, new_blob)] == [b"x", b"y"]
    west.update_primary_region(KeyId=pair, PrimaryRegion=EAST)
    assert related(south, pair) == ("REPLICA", EAST, [SOUTH, WEST])


def test_who_cannot_become_the_primary(east: KMSClient, west: KMSClient, pair: str) -> None:
    single = east.create_key()["KeyMetadata"]
    for kms, key, key_arn, region in (
        (west, pair, arn(WEST, pair), EAST),
        (west, pair, arn(WEST, pair), SOUTH),
        (east, single["KeyId"], single["Arn"], WEST),
    ):
        assert refusal_of(kms.update_primary_region, KeyId=key, PrimaryRegion=region) == {
            "Code": "UnsupportedOperationException",
            "Message": f"{key_arn} is not a multi-region primary key.",
        }
    for region in (SOUTH, "eu-north-1"):
        assert refusal_of(east.update_primary_region, KeyId=pair, PrimaryRegion=region) == {
            "Code": "NotFoundException",
            "Message": f"Key '{arn(region, pair)}' does not exist",
        }
    assert code_of(east.update_primary_region, KeyId=pair, PrimaryRegion=EAST) == "UnsupportedOperationException"
    assert code_of(east.update_primary_region, KeyId=pair, PrimaryRegion="here") == "ValidationException"
    assert code_of(east.update_primary_region, KeyId=NEVER, PrimaryRegion=WEST) == "NotFoundException"


@pytest.mark.parametrize("which", [EAST, WEST])
def test_both_keys_must_be_enabled_to_change_places(east: KMSClient, west: KMSClient, pair: str, which: str) -> None:
    kms = east if which == EAST else west
    kms.disable_key(KeyId=pair)
    assert refusal_of(east.update_primary_region, KeyId=pair, PrimaryRegion=WEST) == {
        "Code": "DisabledException",
        "Message": f"{arn(which, pair)} is disabled.",
    }
    kms.schedule_key_deletion(KeyId=pair)
    assert refusal_of(east.update_primary_region, KeyId=pair, PrimaryRegion=WEST) == {
        "Code": "KMSInvalidStateException",
        "Message": f"{arn(which, pair)} is pending deletion.",
    }


# --- deleting


def test_a_primary_with_replicas_waits_for_them(east: KMSClient, west: KMSClient, pair: str) -> None:
    blob = east.encrypt(KeyId=pair, Plaintext=b"x")["CiphertextBlob"]
    answer = east.schedule_key_deletion(KeyId=pair, PendingWindowInDays=8)
    assert "DeletionDate" not in answer
    assert (answer["KeyState"], answer["PendingWindowInDays"]) == ("PendingReplicaDeletion", 8)
    waiting = describe(east, pair)
    assert (waiting["KeyState"], waiting["PendingDeletionWindowInDays"]) == ("PendingReplicaDeletion", 8)
    assert "DeletionDate" not in waiting
    refused = {"Code": "KMSInvalidStateException", "Message": f"{arn(EAST, pair)} is pending deletion."}
    assert refusal_of(east.decrypt, CiphertextBlob=blob) == refused
    assert refusal_of(east.replicate_key, KeyId=pair, ReplicaRegion=SOUTH) == refused
    assert refusal_of(east.schedule_key_deletion, KeyId=pair) == refused
    assert west.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert east.cancel_key_deletion(KeyId=pair)["KeyId"] == arn(EAST, pair)
    cancelled = describe(east, pair)
    assert (cancelled["KeyState"], "PendingDeletionWindowInDays" in cancelled) == ("Disabled", False)


def test_a_replica_has_a_date_at_once_and_a_rotation_status_of_false(
    east: KMSClient, west: KMSClient, pair: str
) -> None:
    east.enable_key_rotation(KeyId=pair)
    answer = west.schedule_key_deletion(KeyId=pair, PendingWindowInDays=7)
    assert answer["KeyState"] == "PendingDeletion"
    assert describe(west, pair)["DeletionDate"] == answer["DeletionDate"]
    assert west.get_key_rotation_status(KeyId=pair)["KeyRotationEnabled"] is False
    assert east.get_key_rotation_status(KeyId=pair)["KeyRotationEnabled"] is True
    assert describe(east, pair)["KeyState"] == "Enabled"
    east.schedule_key_deletion(KeyId=pair)
    assert east.get_key_rotation_status(KeyId=pair)["KeyRotationEnabled"] is False
