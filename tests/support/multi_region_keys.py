"""Creates and describes multi-Region keys of a running server."""

from typing import Any

from mypy_boto3_kms.client import KMSClient

ACCOUNT = "000000000000"
EAST, WEST, SOUTH = "us-east-1", "eu-west-1", "ap-southeast-2"


def arn(region: str, key_id: str) -> str:
    return f"arn:aws:kms:{region}:{ACCOUNT}:key/{key_id}"


def new_primary(kms: KMSClient, **arguments: Any) -> str:
    return kms.create_key(MultiRegion=True, **arguments)["KeyMetadata"]["KeyId"]


def describe(kms: KMSClient, key_id: str) -> dict[str, Any]:
    return dict(kms.describe_key(KeyId=key_id)["KeyMetadata"])


def multi_region_roles(kms: KMSClient, key_id: str) -> tuple[str, str, list[str]]:
    """Return whether a key is primary or replica, the Region of the primary, and those of the replicas."""
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
