"""Rotating related multi-Region keys, changing their primary, deleting them."""

from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from client_errors import error_code_of, error_of
from multi_region_keys import EAST, SOUTH, WEST, arn, describe, materials, multi_region_roles

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
    assert error_of(west.enable_key_rotation, KeyId=pair) == refused
    assert error_of(west.disable_key_rotation, KeyId=pair) == refused
    assert error_of(west.rotate_key_on_demand, KeyId=pair) == refused
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
    assert multi_region_roles(west, pair) == ("PRIMARY", WEST, [SOUTH, EAST])
    assert multi_region_roles(east, pair) == multi_region_roles(south, pair) == ("REPLICA", WEST, [SOUTH, EAST])
    assert {describe(kms, pair)["KeyState"] for kms in (east, west, south)} == {"Enabled"}
    assert error_code_of(east.rotate_key_on_demand, KeyId=pair) == "UnsupportedOperationException"
    west.rotate_key_on_demand(KeyId=pair)
    west.enable_key_rotation(KeyId=pair, RotationPeriodInDays=90)
    new_blob = west.encrypt(KeyId=pair, Plaintext=b"y")["CiphertextBlob"]
    for kms in (east, south):
        assert kms.get_key_rotation_status(KeyId=pair)["RotationPeriodInDays"] == 90
        assert [kms.decrypt(CiphertextBlob=each)["Plaintext"] for each in (blob, new_blob)] == [b"x", b"y"]
    west.update_primary_region(KeyId=pair, PrimaryRegion=EAST)
    assert multi_region_roles(south, pair) == ("REPLICA", EAST, [SOUTH, WEST])


def test_who_cannot_become_the_primary(east: KMSClient, west: KMSClient, pair: str) -> None:
    single = east.create_key()["KeyMetadata"]
    for kms, key, key_arn, region in (
        (west, pair, arn(WEST, pair), EAST),
        (west, pair, arn(WEST, pair), SOUTH),
        (east, single["KeyId"], single["Arn"], WEST),
    ):
        assert error_of(kms.update_primary_region, KeyId=key, PrimaryRegion=region) == {
            "Code": "UnsupportedOperationException",
            "Message": f"{key_arn} is not a multi-region primary key.",
        }
    for region in (SOUTH, "eu-north-1"):
        assert error_of(east.update_primary_region, KeyId=pair, PrimaryRegion=region) == {
            "Code": "NotFoundException",
            "Message": f"Key '{arn(region, pair)}' does not exist",
        }
    assert error_code_of(east.update_primary_region, KeyId=pair, PrimaryRegion=EAST) == "UnsupportedOperationException"
    assert error_code_of(east.update_primary_region, KeyId=pair, PrimaryRegion="here") == "ValidationException"
    assert error_code_of(east.update_primary_region, KeyId="mrk-" + "0" * 32, PrimaryRegion=WEST) == "NotFoundException"


@pytest.mark.parametrize("which", [EAST, WEST])
def test_both_keys_must_be_enabled_to_change_places(east: KMSClient, west: KMSClient, pair: str, which: str) -> None:
    kms = east if which == EAST else west
    kms.disable_key(KeyId=pair)
    assert error_of(east.update_primary_region, KeyId=pair, PrimaryRegion=WEST) == {
        "Code": "DisabledException",
        "Message": f"{arn(which, pair)} is disabled.",
    }
    kms.schedule_key_deletion(KeyId=pair)
    assert error_of(east.update_primary_region, KeyId=pair, PrimaryRegion=WEST) == {
        "Code": "KMSInvalidStateException",
        "Message": f"{arn(which, pair)} is pending deletion.",
    }


# --- deleting


def test_a_primary_with_replicas_waits_for_them(east: KMSClient, west: KMSClient, pair: str) -> None:
    blob = east.encrypt(KeyId=pair, Plaintext=b"x")["CiphertextBlob"]
    answer: dict[str, Any] = dict(east.schedule_key_deletion(KeyId=pair, PendingWindowInDays=8))
    assert "DeletionDate" not in answer
    assert (answer["KeyState"], answer["PendingWindowInDays"]) == ("PendingReplicaDeletion", 8)
    waiting = describe(east, pair)
    assert (waiting["KeyState"], waiting["PendingDeletionWindowInDays"]) == ("PendingReplicaDeletion", 8)
    assert "DeletionDate" not in waiting
    refused = {"Code": "KMSInvalidStateException", "Message": f"{arn(EAST, pair)} is pending deletion."}
    assert error_of(east.decrypt, CiphertextBlob=blob) == refused
    assert error_of(east.replicate_key, KeyId=pair, ReplicaRegion=SOUTH) == refused
    assert error_of(east.schedule_key_deletion, KeyId=pair) == refused
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
