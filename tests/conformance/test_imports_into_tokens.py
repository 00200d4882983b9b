"""Imports into SoftHSM through the API: by what it has, again after deletion and after a move, in every Region."""

import hmac
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from accounts import succeed
from client_errors import error_code_of
from clients import client_of
from key_import import entropy, private_key, wrap
from local_server import RunningServer, running_server
from softhsm import new_token, token_settings

EAST, WEST = "us-east-1", "eu-west-1"
OAEP, KEY_WRAP = "RSAES_OAEP_SHA_1", "RSA_AES_KEY_WRAP_SHA_1"
STAYS = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
SIGNED: dict[str, Any] = {"Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"}
MAC: dict[str, Any] = {"Message": b"m", "MacAlgorithm": "HMAC_SHA_256"}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    regions = {"STRONGROOM_REGIONS": f"{EAST},{WEST}"}
    for name, value in {**new_token(tmp_path), **token_settings(tmp_path, protection="pkcs11-full"), **regions}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server(settings: None, tmp_path: Path) -> Iterator[RunningServer]:  # noqa: ARG001 - for its effect
    with running_server(tmp_path / "data", tmp_path / "log", "--workers", "2") as server:
        yield server


def new_key(kms: Any, spec: str = "SYMMETRIC_DEFAULT", usage: str = "ENCRYPT_DECRYPT", **more: Any) -> str:
    return str(kms.create_key(Origin="EXTERNAL", KeySpec=spec, KeyUsage=usage, **more)["KeyMetadata"]["KeyId"])


def request(kms: Any, key: str, material: bytes, algorithm: str = OAEP) -> dict[str, Any]:
    given = kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec="RSA_2048")
    encrypted = wrap(given["PublicKey"], algorithm, material)
    return {"KeyId": key, "ImportToken": given["ImportToken"], "EncryptedKeyMaterial": encrypted, **STAYS}


def test_material_is_deleted_and_imported_again(server: RunningServer) -> None:
    kms, secret = client_of(server), entropy(32)
    key = new_key(kms)
    first = kms.import_key_material(**request(kms, key, secret))["KeyMaterialId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
    kms.delete_imported_key_material(KeyId=key)
    assert error_code_of(kms.decrypt, CiphertextBlob=blob) == "KMSInvalidStateException"
    wrong = request(kms, key, entropy(32))
    assert error_code_of(kms.import_key_material, **wrong) == "IncorrectKeyMaterialException"
    short = request(kms, key, entropy(31))
    assert error_code_of(kms.import_key_material, **short) == "IncorrectKeyMaterialException"
    damaged = {**request(kms, key, secret), "EncryptedKeyMaterial": bytes(256)}
    assert error_code_of(kms.import_key_material, **damaged) == "InvalidCiphertextException"
    assert kms.import_key_material(**request(kms, key, secret))["KeyMaterialId"] == first
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
    # New material waits for a rotation.
    second = kms.import_key_material(**request(kms, key, entropy(32)), ImportType="NEW_KEY_MATERIAL")["KeyMaterialId"]
    kms.rotate_key_on_demand(KeyId=key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"] == second != first
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"


def test_what_the_token_lacks_is_refused_when_the_parameters_are_asked_for(
    server: RunningServer, tmp_path: Path
) -> None:
    kms: Any = client_of(server)
    for spec, usage, algorithm in (
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "RSAES_OAEP_SHA_256"),
        ("RSA_2048", "SIGN_VERIFY", "RSA_AES_KEY_WRAP_SHA_256"),
    ):
        key = new_key(kms, spec, usage)
        with pytest.raises(ClientError, match=f"{spec} key material by WrappingAlgorithm {algorithm}") as caught:
            kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec="RSA_2048")
        assert caught.value.response["Error"]["Code"] == "UnsupportedOperationException"
    shown = succeed(tmp_path / "data", "hsm", "status")
    refused = re.findall(r"Import refuses: +(\w+) for ([\w, ]+): C_UnwrapKey answers ARGUMENTS_BAD", shown)
    assert [algorithm for algorithm, _ in refused] == ["RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_256"]
    assert "SYMMETRIC_DEFAULT, " in refused[0][1]
    # SoftHSM gives it back as another key, which is noticed before anything is kept.
    key = new_key(kms, "HMAC_256", "GENERATE_VERIFY_MAC")
    asked = request(kms, key, entropy(65))
    assert error_code_of(kms.import_key_material, **asked) == "UnsupportedOperationException"
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingImport"
    secret = entropy(72)
    kms.import_key_material(**request(kms, key, secret))
    assert kms.generate_mac(KeyId=key, **MAC)["Mac"] == hmac.digest(secret, b"m", "sha256")


def test_replicas_take_the_material_of_their_primary(server: RunningServer) -> None:
    east, west, secret = client_of(server), client_of(server, WEST), entropy(32)
    key = new_key(east, MultiRegion=True)
    first = east.import_key_material(**request(east, key, secret))["KeyMaterialId"]
    east.replicate_key(KeyId=key, ReplicaRegion=WEST)
    other = request(west, key, entropy(32))
    assert error_code_of(west.import_key_material, **other) == "IncorrectKeyMaterialException"
    assert west.import_key_material(**request(west, key, secret))["KeyMaterialId"] == first
    blob = east.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
    assert west.decrypt(CiphertextBlob=blob, KeyId=key)["Plaintext"] == b"text"


@pytest.mark.usefixtures("settings")
def test_material_from_before_a_move_is_imported_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, secret, private = tmp_path / "data", entropy(32), private_key("ECC_NIST_P256")
    with monkeypatch.context() as software:
        software.setenv("STRONGROOM_KEY_PROTECTION", "software")
        with running_server(data, tmp_path / "log") as server:
            kms = client_of(server)
            key, signer = new_key(kms), new_key(kms, "ECC_NIST_P256", "SIGN_VERIFY")
            first = kms.import_key_material(**request(kms, key, secret))["KeyMaterialId"]
            kms.import_key_material(**request(kms, signer, private))
            blob = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
            signature = kms.sign(KeyId=signer, **SIGNED)["Signature"]
            early = request(kms, key, secret)
    with running_server(data, tmp_path / "log2") as server:
        kms = client_of(server)
        succeed(data, "domain-keys", "rotate")
        for each in (key, signer):
            kms.delete_imported_key_material(KeyId=each)
        # Its wrapping key is in this process.
        assert error_code_of(kms.import_key_material, **early) == "InvalidImportTokenException"
        assert kms.import_key_material(**request(kms, key, secret))["KeyMaterialId"] == first
        other = request(kms, signer, private_key("ECC_NIST_P256"), KEY_WRAP)
        assert error_code_of(kms.import_key_material, **other) == "IncorrectKeyMaterialException"
        kms.import_key_material(**request(kms, signer, private, KEY_WRAP))
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
        assert kms.verify(KeyId=signer, **SIGNED, Signature=signature)["SignatureValid"]
        new = kms.sign(KeyId=signer, **SIGNED)["Signature"]
        assert kms.verify(KeyId=signer, **SIGNED, Signature=new)["SignatureValid"]
