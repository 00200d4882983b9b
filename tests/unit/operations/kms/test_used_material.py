"""The key material in the audit record of a call."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from attestations import Hypervisor, spki
from local_deployment import LocalDeployment
from strongroom.clock import ManualClock
from strongroom.operations.kms.table import TABLE

NOW = 1_790_000_000.0
ON_ONE_KEY = {"GenerateDataKey": {"KeySpec": "AES_256"}, "GenerateDataKeyPair": {"KeyPairSpec": "ECC_NIST_P256"}}
"""What operations for attested recipients need beside a key that encrypts."""


@pytest.fixture
def hypervisor() -> Hypervisor:
    return Hypervisor(NOW)


@pytest.fixture
def local(tmp_path: Path, hypervisor: Hypervisor) -> Iterator[LocalDeployment]:
    root = tmp_path / "root.pem"
    root.write_bytes(hypervisor.root.pem)
    local = LocalDeployment(tmp_path / "data", ManualClock(NOW), attestation_roots=(str(root),))
    yield local
    local.deployment.close()


def named_last(local: LocalDeployment) -> dict[str, Any]:
    """Return what the newest record says of key material."""
    data: dict[str, Any] = local.records()[-1].get("additionalEventData", {})
    return {name: value for name, value in data.items() if name.lower().endswith("keymaterialid")}


def test_every_use_whose_answer_names_key_material_records_it() -> None:
    answering = {
        row.name
        for row in TABLE.values()
        if row.uses
        for name in get_type_hints(row.run)["return"].__struct_fields__
        if name.endswith("key_material_id")
    }
    assert len(answering) == 6
    assert answering | {"Encrypt"} == {row.name for row in TABLE.values() if row.materials is not None}


def test_the_material_that_was_used_is_named_not_the_current_one(local: LocalDeployment) -> None:
    key_id = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    blob = local.call("Encrypt", KeyId=key_id, Plaintext="eA==")["CiphertextBlob"]
    first = named_last(local)
    assert len(first["keyMaterialId"]) == 64
    local.call("RotateKeyOnDemand", KeyId=key_id)
    local.call("Decrypt", CiphertextBlob=blob)
    assert named_last(local) == first
    local.call("GenerateDataKey", KeyId=key_id, KeySpec="AES_256")
    second = named_last(local)
    assert second != first
    local.call("ReEncrypt", CiphertextBlob=blob, DestinationKeyId=key_id)
    assert named_last(local) == {
        "sourceKeyMaterialId": first["keyMaterialId"],
        "destinationKeyMaterialId": second["keyMaterialId"],
    }


def test_of_an_asymmetric_key_no_material_is_named(local: LocalDeployment) -> None:
    made = local.call("CreateKey", KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    key_id, algorithm = made["KeyMetadata"]["KeyId"], "RSAES_OAEP_SHA_256"
    blob = local.call("Encrypt", KeyId=key_id, Plaintext="eA==", EncryptionAlgorithm=algorithm)["CiphertextBlob"]
    assert named_last(local) == {}
    local.call("Decrypt", KeyId=key_id, CiphertextBlob=blob, EncryptionAlgorithm=algorithm)
    assert named_last(local) == {}


def test_the_material_used_for_an_attested_recipient_is_named_though_the_answer_does_not(
    local: LocalDeployment, hypervisor: Hypervisor
) -> None:
    attested = {name for name, row in TABLE.items() if row.takes_recipient and row.materials is not None}
    assert attested == {"Decrypt", *ON_ONE_KEY}
    key_id = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    requests = {name: {"KeyId": key_id, **more} for name, more in ON_ONE_KEY.items()}
    requests["Decrypt"] = {"CiphertextBlob": local.call("Encrypt", KeyId=key_id, Plaintext="eA==")["CiphertextBlob"]}
    local.call("RotateKeyOnDemand", KeyId=key_id)
    document = hypervisor.document(spki(rsa.generate_private_key(65537, 2048)))
    recipient = {
        "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
        "AttestationDocument": base64.b64encode(document).decode(),
    }
    for name, request in requests.items():
        named = local.call(name, **request)["KeyMaterialId"]
        assert "CiphertextForRecipient" in local.call(name, **request, Recipient=recipient)
        assert named_last(local) == {"keyMaterialId": named}, name
