"""The whole life of keys in two key back ends, side by side in one deployment."""

import base64
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from direct_client import DirectClient
from key_import import import_material
from local_deployment import Refused, entropy
from loopback_server import LoopbackServer, run
from mixed_deployment import MixedDeployment
from strongroom.clock import DAY, ManualClock
from strongroom.keys.specs import KeySpec, KeyUsage

WEST, SOUTH = "eu-west-1", "ap-southeast-2"
DATA = base64.b64encode(b"data").decode()
TOKEN_IS_DEFAULT = pytest.mark.parametrize(
    "token_is_default", [True, False], ids=["token is default", "token is a custom key store"], scope="function"
)


@pytest.fixture(params=[False, True], ids=["runs once", "runs again"])
def reruns(request: pytest.FixtureRequest) -> bool:
    """Whether every write is run twice, as after a serialization failure."""
    return bool(request.param)


@pytest.fixture
def token_is_default() -> bool:
    return True


@pytest.fixture
def mixed(tmp_path: Path, clock: ManualClock, *, token_is_default: bool, reruns: bool) -> Iterator[MixedDeployment]:
    mixed = MixedDeployment(tmp_path / "data", clock, token_is_default=token_is_default, reruns=reruns)
    yield mixed
    mixed.require_no_orphans()
    mixed.deployment.close()


def encrypt(mixed: MixedDeployment, key_id: str, region: str = "us-east-1") -> str:
    blob: str = mixed.call("Encrypt", KeyId=key_id, Plaintext=DATA, region=region)["CiphertextBlob"]
    return blob


def decrypt(mixed: MixedDeployment, blob: str, region: str = "us-east-1") -> str:
    plaintext: str = mixed.call("Decrypt", CiphertextBlob=blob, region=region)["Plaintext"]
    return plaintext


def later(mixed: MixedDeployment, days: float) -> None:
    mixed.clock.advance(days * DAY)
    mixed.deployment.keeper.run()
    assert mixed.deployment.keeper.counters.failures == 0
    mixed.require_no_orphans()


def events(mixed: MixedDeployment, name: str) -> list[Any]:
    return [each["serviceEventDetails"] for each in mixed.records() if each["eventName"] == name]


@TOKEN_IS_DEFAULT
def test_keys_of_both_live_side_by_side(mixed: MixedDeployment, *, token_is_default: bool) -> None:
    plain, custom = mixed.new_key(), mixed.new_key_in_custom_store()
    described = mixed.call("DescribeKey", KeyId=custom)["KeyMetadata"]
    assert (described["CustomKeyStoreId"], described["Origin"]) == (mixed.store_id, "AWS_CLOUDHSM")
    assert len(mixed.token.objects) == 1
    for key_id in (plain, custom):
        assert decrypt(mixed, encrypt(mixed, key_id)) == DATA
        made = mixed.call("GenerateDataKey", KeyId=key_id, KeySpec="AES_256")
        assert decrypt(mixed, made["CiphertextBlob"]) == made["Plaintext"]
    blob = encrypt(mixed, plain)
    moved = mixed.call("ReEncrypt", CiphertextBlob=blob, DestinationKeyId=custom)["CiphertextBlob"]
    assert decrypt(mixed, moved) == DATA
    assert mixed.token.calls["encrypt"] == 3

    mixed.call("RotateKeyOnDemand", KeyId=plain)
    mixed.call("EnableKeyRotation", KeyId=plain, RotationPeriodInDays=90)
    for operation in ("RotateKeyOnDemand", "EnableKeyRotation"):
        with pytest.raises(Refused, match="UnsupportedOperationException"):
            mixed.call(operation, KeyId=custom)
    later(mixed, 90)
    assert len(mixed.call("ListKeyRotations", KeyId=plain)["Rotations"]) == 2
    assert len(mixed.token.objects) == (3 if token_is_default else 1)
    mixed.reopen()
    assert decrypt(mixed, blob) == decrypt(mixed, moved) == decrypt(mixed, encrypt(mixed, plain)) == DATA

    for key_id in (plain, custom):
        mixed.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    later(mixed, 7)
    assert mixed.token.objects == {}
    assert {each["keyId"] for each in events(mixed, "DeleteKey")} == {plain, custom}
    assert len(events(mixed, "RotateKey")) == 1


def test_related_keys_get_copies_of_all_key_material(mixed: MixedDeployment) -> None:
    primary = mixed.new_key(MultiRegion=True)
    mixed.call("RotateKeyOnDemand", KeyId=primary)
    blob = encrypt(mixed, primary)
    mixed.call("ReplicateKey", KeyId=primary, ReplicaRegion=WEST)
    assert len(mixed.token.objects) == 4
    mixed.call("RotateKeyOnDemand", KeyId=primary)
    assert len(mixed.token.objects) == 6
    assert decrypt(mixed, blob, WEST) == DATA
    assert decrypt(mixed, encrypt(mixed, primary, WEST)) == DATA
    mixed.call("EnableKeyRotation", KeyId=primary, RotationPeriodInDays=90)
    later(mixed, 90)
    assert len(mixed.token.objects) == 8
    assert len(events(mixed, "RotateKey")) == 1

    mixed.call("UpdatePrimaryRegion", KeyId=primary, PrimaryRegion=WEST)
    mixed.call("ReplicateKey", KeyId=primary, ReplicaRegion=SOUTH, region=WEST)
    assert len(mixed.token.objects) == 12
    assert decrypt(mixed, encrypt(mixed, primary, SOUTH)) == DATA
    for region in (SOUTH, "us-east-1"):
        mixed.call("ScheduleKeyDeletion", KeyId=primary, PendingWindowInDays=7, region=region)
    later(mixed, 7)
    assert len(mixed.token.objects) == 4
    assert decrypt(mixed, blob, WEST) == DATA
    mixed.call("ScheduleKeyDeletion", KeyId=primary, PendingWindowInDays=7, region=WEST)
    later(mixed, 7)
    assert mixed.token.objects == {}


def test_what_the_token_does_not_keep_is_refused_when_a_key_or_a_replica_is_made(mixed: MixedDeployment) -> None:
    decrypts = {"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT", "MultiRegion": True}
    primary = mixed.new_key(**decrypts)
    mixed.token.refused.add((KeySpec.RSA_2048, KeyUsage.ENCRYPT_DECRYPT))
    for operation, arguments in (
        ("CreateKey", decrypts),
        ("CreateKey", {**decrypts, "Origin": "EXTERNAL"}),
        ("ReplicateKey", {"KeyId": primary, "ReplicaRegion": WEST}),
    ):
        with pytest.raises(Refused, match=r"UnsupportedOperationException.*RSA_2048 for ENCRYPT_DECRYPT"):
            mixed.call(operation, **arguments)
    assert len(mixed.token.objects) == 1
    signs = mixed.new_key(**{**decrypts, "KeyUsage": "SIGN_VERIFY"})
    mixed.call("ReplicateKey", KeyId=signs, ReplicaRegion=WEST)
    assert len(mixed.token.objects) == 3


def test_imported_material_comes_and_goes(mixed: MixedDeployment) -> None:
    first, second = entropy(32), entropy(32)
    key_id = mixed.new_key(Origin="EXTERNAL")
    assert mixed.token.objects == {}
    import_material(mixed, key_id, first)
    blob = encrypt(mixed, key_id)
    import_material(mixed, key_id, first, ValidTo=mixed.clock.now() + 2 * DAY)
    assert len(mixed.token.objects) == 1
    import_material(mixed, key_id, second, ImportType="NEW_KEY_MATERIAL", ValidTo=mixed.clock.now() + 9 * DAY)
    assert len(mixed.token.objects) == 2
    mixed.call("RotateKeyOnDemand", KeyId=key_id)
    assert decrypt(mixed, blob) == decrypt(mixed, encrypt(mixed, key_id)) == DATA
    later(mixed, 2)
    assert len(mixed.token.objects) == 1
    assert len(events(mixed, "DeleteExpiredKeyMaterial")) == 1
    mixed.call("DeleteImportedKeyMaterial", KeyId=key_id)
    assert mixed.token.objects == {}
    for material in (first, second):
        import_material(mixed, key_id, material)
    assert decrypt(mixed, blob) == DATA
    with pytest.raises(Refused, match="IncorrectKeyMaterialException"):
        import_material(mixed, key_id, first, KeyMaterialId="0" * 64)
    with pytest.raises(Refused, match="IncorrectKeyMaterialException"):
        import_material(mixed, key_id, entropy(32))


def test_a_replica_takes_imported_material_of_its_own(mixed: MixedDeployment) -> None:
    material = entropy(32)
    primary = mixed.new_key(Origin="EXTERNAL", MultiRegion=True)
    import_material(mixed, primary, material)
    mixed.call("ReplicateKey", KeyId=primary, ReplicaRegion=WEST)
    assert len(mixed.token.objects) == 1
    import_material(mixed, primary, material, WEST)
    assert len(mixed.token.objects) == 2
    assert decrypt(mixed, encrypt(mixed, primary), WEST) == DATA
    mixed.call("DeleteImportedKeyMaterial", KeyId=primary, region=WEST)
    assert len(mixed.token.objects) == 1


def test_keys_that_sign_and_authenticate(mixed: MixedDeployment) -> None:
    signing = mixed.new_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    signed = {"KeyId": signing, "Message": DATA, "SigningAlgorithm": "ECDSA_SHA_256"}
    signature = mixed.call("Sign", **signed)["Signature"]
    assert mixed.call("Verify", **signed, Signature=signature)["SignatureValid"]
    authenticating = mixed.new_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    asked = {"KeyId": authenticating, "Message": DATA, "MacAlgorithm": "HMAC_SHA_256"}
    assert mixed.call("VerifyMac", **asked, Mac=mixed.call("GenerateMac", **asked)["Mac"])["MacValid"]
    assert len(mixed.token.objects) == 2


def test_an_aws_managed_key_that_two_requests_make_at_once_is_made_once(mixed: MixedDeployment) -> None:
    mixed.deployment.registrar.create_service("backup.amazonaws.com")
    made: list[str] = []

    def other_request() -> None:
        if not made:
            made.append("")
            made[0] = mixed.call("DescribeKey", KeyId="alias/aws/backup")["KeyMetadata"]["KeyId"]

    mixed.store.before_write = other_request
    assert mixed.call("DescribeKey", KeyId="alias/aws/backup")["KeyMetadata"]["KeyId"] == made[0]
    assert mixed.token.calls["generate"] == 2
    assert len(mixed.token.objects) == 1


def test_a_custom_key_store_holds_symmetric_keys_of_one_region_only(mixed: MixedDeployment) -> None:
    there = {"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": mixed.store_id}
    for wrong in ({"MultiRegion": True}, {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}):
        with pytest.raises(Refused, match="UnsupportedOperationException"):
            mixed.new_key(**there, **wrong)


def test_a_key_whose_custom_key_store_has_no_back_end_is_described_and_not_used(
    mixed: MixedDeployment,
) -> None:
    key_id = mixed.new_key_in_custom_store()
    mixed.store_id, connected = "cks-0", mixed.store_id
    mixed.reopen()
    assert mixed.call("DescribeKey", KeyId=key_id)["KeyMetadata"]["CustomKeyStoreId"] == connected
    with pytest.raises(Refused, match=r"KMSInvalidStateException: .* custom key store is not connected"):
        encrypt(mixed, key_id)
    with pytest.raises(Refused, match="CustomKeyStoreInvalidStateException"):
        mixed.new_key(Origin="AWS_CLOUDHSM", CustomKeyStoreId=connected)
    mixed.store_id = connected
    mixed.reopen()
    assert decrypt(mixed, encrypt(mixed, key_id)) == DATA


def test_others_write_while_a_request_waits_for_the_token(mixed: MixedDeployment) -> None:
    key_id = mixed.new_key()
    mixed.token.answers.clear()
    creating = threading.Thread(target=mixed.new_key)
    creating.start()
    while mixed.token.calls["generate"] < 2:
        time.sleep(0.001)
    mixed.call("TagResource", KeyId=key_id, Tags=[{"TagKey": "name", "TagValue": "value"}])
    assert creating.is_alive()
    mixed.token.answers.set()
    creating.join()
    assert len(mixed.token.objects) == 2


@pytest.mark.parametrize("reruns", [False], ids=["runs once"], indirect=True)
def test_the_event_loop_never_waits_for_the_token(mixed: MixedDeployment) -> None:
    key_id, other = mixed.new_key(), mixed.new_key_in_custom_store()
    blobs = [encrypt(mixed, each) for each in (key_id, other)]
    key_to_sign = mixed.new_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    mac_key = mixed.new_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    mixed.reopen()
    direct = DirectClient(mixed)

    async def scenario(loopback: LoopbackServer) -> None:
        calls: list[tuple[str, dict[str, Any]]] = [
            ("Encrypt", {"KeyId": key_id, "Plaintext": DATA}),
            ("Decrypt", {"CiphertextBlob": blobs[0]}),
            ("GenerateDataKey", {"KeyId": key_id, "KeySpec": "AES_256"}),
            ("GenerateDataKeyPair", {"KeyId": key_id, "KeyPairSpec": "ECC_NIST_P256"}),
            ("ReEncrypt", {"CiphertextBlob": blobs[1], "DestinationKeyId": key_id}),
            ("ReEncrypt", {"CiphertextBlob": blobs[0], "DestinationKeyId": other}),
            ("Sign", {"KeyId": key_to_sign, "Message": DATA, "SigningAlgorithm": "ECDSA_SHA_256"}),
            ("GenerateMac", {"KeyId": mac_key, "Message": DATA, "MacAlgorithm": "HMAC_SHA_256"}),
            ("GetPublicKey", {"KeyId": key_to_sign}),
            ("CreateKey", {}),
            ("RotateKeyOnDemand", {"KeyId": key_id}),
        ]
        for operation, request in calls:
            assert await loopback.call(operation, **request) == 200, operation

    run(direct, scenario)
    assert mixed.token.calls["load"] >= 4
