"""Memory images and copied folders: where key material is found that was imported, and where not."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Literal

import pytest
from mypy_boto3_kms.client import KMSClient

from clients import client_of
from hmac_states import digest
from key_import import entropy, wrap
from local_server import RunningServer, running_server
from memory_images import files_with, processes_with
from softhsm import new_token, token_settings

USES = 100
OAEP: Literal["RSAES_OAEP_SHA_1"] = "RSAES_OAEP_SHA_1"
IN_MEMORY = ("software", "pkcs11-root")
"""What has backing keys in the memory of a server, so that the scanner has to find them."""


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningServer]:
    """Return a server with the ``key-protection`` that the test is given."""
    settings = {**new_token(tmp_path), **token_settings(tmp_path), "STRONGROOM_KEY_PROTECTION": request.param}
    with running_server(tmp_path / "data", tmp_path / "log", "--workers", "2", environment=settings) as server:
        yield server


def imported(kms: KMSClient, material: bytes, marker: str, spec: str, usage: str) -> str:
    """Return the id of a new key with some material. ``marker`` is in its description."""
    made = kms.create_key(Origin="EXTERNAL", KeySpec=spec, KeyUsage=usage, Description=marker)  # type: ignore[arg-type]
    key_id = made["KeyMetadata"]["KeyId"]
    given = kms.get_parameters_for_import(KeyId=key_id, WrappingAlgorithm=OAEP, WrappingKeySpec="RSA_2048")
    kms.import_key_material(
        KeyId=key_id,
        ImportToken=given["ImportToken"],
        EncryptedKeyMaterial=wrap(given["PublicKey"], OAEP, material),
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )
    return key_id


def use(server: RunningServer, cipher_key: str, mac_key: str) -> None:
    """Use both keys many times, over several connections, so that all workers do."""
    for _ in range(10):
        kms = client_of(server)
        for _ in range(USES // 10):
            blob = kms.encrypt(KeyId=cipher_key, Plaintext=b"text")["CiphertextBlob"]
            assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
            mac = kms.generate_mac(KeyId=mac_key, Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"]
            assert kms.verify_mac(KeyId=mac_key, Message=b"m", MacAlgorithm="HMAC_SHA_256", Mac=mac)["MacValid"]
        kms.close()


def test_the_states_are_those_of_sha_256() -> None:
    assert digest(b"abc") == sha256(b"abc").digest()


@pytest.mark.parametrize("server", IN_MEMORY, indirect=True)
def test_the_scanner_finds_keys_that_are_in_memory(server: RunningServer, tmp_path: Path) -> None:
    secrets, kms = [entropy(32), entropy(32)], client_of(server)
    cipher_key = imported(kms, secrets[0], "one", "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    mac_key = imported(kms, secrets[1], "two", "HMAC_256", "GENERATE_VERIFY_MAC")
    use(server, cipher_key, mac_key)
    for secret in secrets:
        assert processes_with(server, secret)
        assert files_with(tmp_path, secret) == []
    assert processes_with(server, entropy(32)) == []
    for name, text in (("bytes", secrets[0]), ("digits", b"x" + secrets[0].hex().encode())):
        (tmp_path / name).write_bytes(b"before" + text + b"after")
    assert {path.name for path in files_with(tmp_path, secrets[0])} == {"bytes", "digits"}


@pytest.mark.parametrize("server", ["pkcs11-full"], indirect=True)
def test_no_key_of_a_token_is_in_memory_or_on_disk(server: RunningServer, tmp_path: Path) -> None:
    """SoftHSM is a library in the processes of the server, so its memory is looked through as well."""
    secrets, markers = [entropy(32), entropy(32)], [entropy(16).hex(), entropy(16).hex()]
    kms = client_of(server)
    cipher_key = imported(kms, secrets[0], markers[0], "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    mac_key = imported(kms, secrets[1], markers[1], "HMAC_256", "GENERATE_VERIFY_MAC")

    def require_nowhere() -> None:
        for secret in secrets:
            assert processes_with(server, secret) == []
            assert files_with(tmp_path, secret) == []

    require_nowhere()
    use(server, cipher_key, mac_key)
    require_nowhere()
    # The scanner does look into the memory in which keys are used.
    for marker in markers:
        assert processes_with(server, marker.encode())
    for key_id in (cipher_key, mac_key):
        kms.delete_imported_key_material(KeyId=key_id)
    require_nowhere()
