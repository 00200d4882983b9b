"""Imports over a deployment without a network: tokens and their time, parameters, policies, records."""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from key_import import import_material, parameters, wrapped
from local_deployment import LocalDeployment, Refused
from policies import allow, deny, document
from strongroom.clock import DAY, ManualClock

ROOT = "arn:aws:iam::000000000000:root"
STAYS = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
entropy = os.urandom  # noqa: TID251 - the owner's own
MATERIAL = entropy(32)


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock)
    yield local
    local.deployment.close()


@pytest.fixture
def key_id(local: LocalDeployment) -> str:
    return new_key(local)


def new_key(local: LocalDeployment, **more: Any) -> str:
    key_id: str = local.call("CreateKey", Origin="EXTERNAL", **more)["KeyMetadata"]["KeyId"]
    return key_id


def code(local: LocalDeployment, operation: str, **request: Any) -> str:
    with pytest.raises(Refused) as refused:
        local.call(operation, **request)
    return refused.value.code


def test_parameters_are_valid_for_24_hours_and_any_number_of_imports(local: LocalDeployment, key_id: str) -> None:
    given = parameters(local, key_id)
    assert given["ParametersValidTo"] == local.clock.now() + DAY
    local.clock.advance(DAY - 1)
    for _ in range(2):
        local.call("ImportKeyMaterial", KeyId=key_id, **wrapped(given, MATERIAL), **STAYS)
    local.clock.advance(1)
    late = wrapped(given, MATERIAL)
    assert code(local, "ImportKeyMaterial", KeyId=key_id, **late, **STAYS) == "ExpiredImportTokenException"


def test_a_token_belongs_to_its_key_and_to_its_public_key(local: LocalDeployment, key_id: str) -> None:
    given, others = parameters(local, key_id), parameters(local, new_key(local))
    asked = {"KeyId": key_id, **STAYS}
    assert code(local, "ImportKeyMaterial", **asked, **wrapped(others, MATERIAL)) == "InvalidImportTokenException"
    mixed = {**wrapped(others, MATERIAL), "ImportToken": given["ImportToken"]}
    assert code(local, "ImportKeyMaterial", **asked, **mixed) == "InvalidCiphertextException"
    token = bytearray(base64.b64decode(given["ImportToken"]))
    token[len(token) // 2] ^= 1
    for junk in (bytes(token), bytes(token[:-1]), b"x"):
        broken = {**wrapped(given, MATERIAL), "ImportToken": base64.b64encode(junk).decode()}
        assert code(local, "ImportKeyMaterial", **asked, **broken) == "InvalidImportTokenException"


def test_a_token_under_the_largest_wrapping_key_fits_into_a_request(local: LocalDeployment, key_id: str) -> None:
    given = local.call(
        "GetParametersForImport", KeyId=key_id, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_4096"
    )
    assert len(base64.b64decode(given["ImportToken"])) < 6144
    local.call("ImportKeyMaterial", KeyId=key_id, **wrapped(given, MATERIAL), **STAYS)


def test_the_expiry_of_an_import(local: LocalDeployment, key_id: str) -> None:
    sent = {"KeyId": key_id, **wrapped(parameters(local, key_id), MATERIAL)}
    now = local.clock.now()
    with pytest.raises(Refused, match="A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"):
        local.call("ImportKeyMaterial", **sent)
    for wrong in (
        {"ValidTo": now},
        {"ValidTo": now + 366 * DAY},
        {"ValidTo": now + DAY, **STAYS},
        {"ExpirationModel": "NEVER"},
    ):
        assert code(local, "ImportKeyMaterial", **sent, **wrong) == "ValidationException"
    assert code(local, "ImportKeyMaterial", **sent, ValidTo="tomorrow") == "SerializationException"
    assert local.call("DescribeKey", KeyId=key_id)["KeyMetadata"]["KeyState"] == "PendingImport"


def test_a_key_material_id_must_match_the_imported_material(local: LocalDeployment, key_id: str) -> None:
    material_id = import_material(local, key_id, MATERIAL)["KeyMaterialId"]
    import_material(local, key_id, MATERIAL, KeyMaterialId=material_id)
    sent = {"KeyId": key_id, **wrapped(parameters(local, key_id), MATERIAL), **STAYS}
    assert code(local, "ImportKeyMaterial", **sent, KeyMaterialId="0" * 64) == "IncorrectKeyMaterialException"
    new = {"ImportType": "NEW_KEY_MATERIAL", "KeyMaterialId": material_id}
    assert code(local, "ImportKeyMaterial", **sent, **new) == "ValidationException"
    assert code(local, "ImportKeyMaterial", **sent, KeyMaterialId="XYZ") == "ValidationException"


@pytest.mark.parametrize(
    "member",
    [
        {"ImportType": "NEW_KEY_MATERIAL"},
        {"KeyMaterialDescription": "mine"},
        {"KeyMaterialId": "0" * 64},
    ],
)
def test_import_members_of_symmetric_keys_are_refused_for_other_keys(
    local: LocalDeployment, member: dict[str, str]
) -> None:
    key_id = new_key(local, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    sent = {"KeyId": key_id, **wrapped(parameters(local, key_id), MATERIAL), **STAYS}
    assert code(local, "ImportKeyMaterial", **sent, **member) == "UnsupportedOperationException"
    assert "KeyMaterialId" not in local.call("ImportKeyMaterial", **sent)


@pytest.mark.parametrize("operation", ["GetParametersForImport", "ImportKeyMaterial", "DeleteImportedKeyMaterial"])
def test_keys_with_generated_material_cannot_import(local: LocalDeployment, key_id: str, operation: str) -> None:
    made = local.call("CreateKey")["KeyMetadata"]
    requests: dict[str, dict[str, str]] = {
        "GetParametersForImport": {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
        "ImportKeyMaterial": {**wrapped(parameters(local, key_id), MATERIAL), **STAYS},
        "DeleteImportedKeyMaterial": {},
    }
    for change in ("EnableKey", "DisableKey"):
        local.call(change, KeyId=made["KeyId"])
        with pytest.raises(Refused) as refused:
            local.call(operation, KeyId=made["KeyId"], **requests[operation])
        assert refused.value.code == "UnsupportedOperationException"
        assert refused.value.message == f"{made['Arn']} origin is AWS_KMS which is not valid for this operation."


def test_only_keys_that_rotate_list_all_their_material(local: LocalDeployment) -> None:
    key_id = new_key(local, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    import_material(local, key_id, MATERIAL)
    everything = {"KeyId": key_id, "IncludeKeyMaterial": "ALL_KEY_MATERIAL"}
    assert code(local, "ListKeyRotations", **everything) == "UnsupportedOperationException"
    assert local.call("ListKeyRotations", KeyId=key_id)["Rotations"] == []


def test_deleting_twice_has_no_effect_the_second_time(local: LocalDeployment, key_id: str) -> None:
    arn = local.call("DescribeKey", KeyId=key_id)["KeyMetadata"]["Arn"]
    assert local.call("DeleteImportedKeyMaterial", KeyId=key_id) == {"KeyId": arn}
    material_id = import_material(local, key_id, MATERIAL)["KeyMaterialId"]
    for _ in range(2):
        deleted = local.call("DeleteImportedKeyMaterial", KeyId=key_id)
        assert deleted == {"KeyId": arn, "KeyMaterialId": material_id}
    assert code(local, "DeleteImportedKeyMaterial", KeyId=key_id, KeyMaterialId="0" * 64) == "NotFoundException"


CONDITIONS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    (
        "StringEquals",
        "kms:WrappingAlgorithm",
        {"WrappingAlgorithm": "RSAES_OAEP_SHA_1", "WrappingKeySpec": "RSA_2048"},
        {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
    ),
    (
        "StringEquals",
        "kms:WrappingKeySpec",
        {"WrappingAlgorithm": "RSAES_OAEP_SHA_1", "WrappingKeySpec": "RSA_2048"},
        {"WrappingAlgorithm": "RSAES_OAEP_SHA_1", "WrappingKeySpec": "RSA_3072"},
    ),
    ("StringEquals", "kms:ExpirationModel", {"ValidTo": 1_790_000_010.0}, STAYS),
    ("DateGreaterThan", "kms:ValidTo", {"ValidTo": 1_790_086_401.5}, {"ValidTo": 1_790_086_400.0}),
]
VALUES = {
    "kms:WrappingAlgorithm": "RSAES_OAEP_SHA_1",
    "kms:WrappingKeySpec": "RSA_2048",
    "kms:ExpirationModel": "KEY_MATERIAL_EXPIRES",
    "kms:ValidTo": "2026-09-22T14:13:20Z",
}


@pytest.mark.parametrize(("operator", "key", "stopped", "passed"), CONDITIONS)
def test_the_condition_keys_of_imports(
    local: LocalDeployment, operator: str, key: str, stopped: dict[str, Any], passed: dict[str, Any]
) -> None:
    operation = "GetParametersForImport" if "Wrapping" in key else "ImportKeyMaterial"
    denied = deny(ROOT, do=f"kms:{operation}", when={operator: {key: VALUES[key]}})
    key_id = new_key(local, Policy=document(allow(ROOT), denied))
    sent = wrapped(parameters(local, key_id), MATERIAL) if operation == "ImportKeyMaterial" else {}
    with pytest.raises(Refused, match="with an explicit deny in a resource-based policy"):
        local.call(operation, KeyId=key_id, **sent, **stopped)
    local.call(operation, KeyId=key_id, **sent, **passed)


def test_audit_records_of_imports_have_the_parameters_but_no_token_and_no_material(
    local: LocalDeployment, key_id: str
) -> None:
    given = parameters(local, key_id)
    sent = wrapped(given, MATERIAL)
    valid_to = local.clock.now() + DAY
    done = local.call("ImportKeyMaterial", KeyId=key_id, **sent, ValidTo=valid_to, KeyMaterialDescription="mine")
    local.call("DeleteImportedKeyMaterial", KeyId=key_id)
    asked, brought, deleted = local.records()[-3:]
    assert asked["requestParameters"] == {
        "keyId": key_id,
        "wrappingAlgorithm": "RSAES_OAEP_SHA_256",
        "wrappingKeySpec": "RSA_2048",
    }
    assert (asked["readOnly"], asked["responseElements"]) == (True, None)
    assert brought["requestParameters"] == {
        "keyId": key_id,
        "validTo": valid_to,
        "expirationModel": "KEY_MATERIAL_EXPIRES",
        "keyMaterialDescription": "mine",
    }
    named = {"keyId": done["KeyId"], "keyMaterialId": done["KeyMaterialId"]}
    assert (brought["readOnly"], brought["responseElements"]) == (False, named)
    assert deleted["responseElements"] == named
    text = json.dumps([asked, brought, deleted])
    assert not any(secret in text for secret in (*sent.values(), given["PublicKey"]))


def test_a_refused_import_changes_nothing(local: LocalDeployment, key_id: str) -> None:
    import_material(local, key_id, MATERIAL)
    before = local.call("DescribeKey", KeyId=key_id)
    for material in (entropy(32), entropy(31)):
        with pytest.raises(Refused) as refused:
            import_material(local, key_id, material)
        assert refused.value.code == "IncorrectKeyMaterialException"
    assert local.call("DescribeKey", KeyId=key_id) == before
