"""LocalStack's tags of CreateKey."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from local_deployment import LocalDeployment, Refused
from strongroom.clock import ManualClock
from strongroom.seeds.rows import development_rows

NOW = 1_790_000_000.0
ID = "00000000-0000-4000-8000-0000000000%02x"
SECRET = bytes(range(32))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    deployment = LocalDeployment(tmp_path_factory.mktemp("tags") / "data", ManualClock(NOW))
    deployment.operations |= development_rows()
    yield deployment
    deployment.deployment.close()


def tags(key_id: str | None = None, material: bytes | str | None = None, **others: str) -> list[dict[str, str]]:
    found = dict(others)
    if key_id is not None:
        found["_custom_id_"] = key_id
    if material is not None:
        found["_custom_key_material_"] = material if isinstance(material, str) else base64.b64encode(material).decode()
    return [{"TagKey": key, "TagValue": value} for key, value in found.items()]


def created(server: LocalDeployment, found: list[dict[str, str]], **more: Any) -> str:
    key_id: str = server.call("CreateKey", Tags=found, **more)["KeyMetadata"]["KeyId"]
    return key_id


def test_the_id_is_chosen_and_stays_a_tag(server: LocalDeployment) -> None:
    key_id = ID % 1
    assert created(server, tags(f" {key_id} ", team="a")) == key_id
    listed = server.call("ListResourceTags", KeyId=key_id)["Tags"]
    assert {tag["TagKey"] for tag in listed} == {"_custom_id_", "team"}
    with pytest.raises(Refused, match=f"AlreadyExistsException: A key with the id {key_id} already exists."):
        created(server, tags(key_id))


def test_the_material_is_chosen_and_is_nowhere_to_be_read(server: LocalDeployment) -> None:
    key_id = created(server, tags(material=SECRET, team="a"))
    shown = base64.b64encode(SECRET).decode()
    assert server.call("ListResourceTags", KeyId=key_id)["Tags"] == [{"TagKey": "team", "TagValue": "a"}]
    records = json.dumps(server.records())
    assert key_id in records
    assert shown not in records
    assert "customKeyMaterial" not in records


def test_the_same_id_and_material_open_the_ciphertexts_of_another_run(server: LocalDeployment, tmp_path: Path) -> None:
    key_id = created(server, tags(ID % 2, SECRET))
    plaintext = base64.b64encode(b"kept").decode()
    blob = server.call("Encrypt", KeyId=key_id, Plaintext=plaintext)["CiphertextBlob"]
    later = LocalDeployment(tmp_path / "data", ManualClock(NOW))
    later.operations |= development_rows()
    created(later, tags(ID % 2, SECRET))
    assert later.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == plaintext
    later.deployment.close()


def test_a_mac_key(server: LocalDeployment) -> None:
    key_id = created(server, tags(material=SECRET), KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    message = base64.b64encode(b"message").decode()
    answer = server.call("GenerateMac", KeyId=key_id, Message=message, MacAlgorithm="HMAC_SHA_256")
    assert base64.b64decode(answer["Mac"]) == hmac.digest(SECRET, b"message", hashlib.sha256)


@pytest.mark.parametrize(
    ("spec", "form"),
    [
        ("ECC_NIST_P256", PrivateFormat.TraditionalOpenSSL),
        ("ECC_SECG_P256K1", PrivateFormat.PKCS8),
        ("RSA_2048", PrivateFormat.PKCS8),
        ("RSA_2048", PrivateFormat.TraditionalOpenSSL),
    ],
)
def test_private_keys_in_the_usual_encodings(server: LocalDeployment, spec: str, form: PrivateFormat) -> None:
    curves = {"ECC_NIST_P256": ec.SECP256R1(), "ECC_SECG_P256K1": ec.SECP256K1()}
    key = ec.generate_private_key(curves[spec]) if spec in curves else rsa.generate_private_key(65537, 2048)
    encoded = key.private_bytes(Encoding.DER, form, NoEncryption())
    key_id = created(server, tags(material=encoded), KeySpec=spec, KeyUsage="SIGN_VERIFY")
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert base64.b64decode(server.call("GetPublicKey", KeyId=key_id)["PublicKey"]) == public


def test_a_multi_region_key(server: LocalDeployment) -> None:
    chosen = "mrk-" + "0a" * 16
    assert created(server, tags(chosen), MultiRegion=True) == chosen
    assert created(server, tags(material=SECRET), MultiRegion=True).startswith("mrk-")


REFUSED: dict[str, tuple[list[dict[str, str]], dict[str, Any], str]] = {
    "a name": (tags("my-key"), {}, "_custom_id_ must be a UUID in lower case"),
    "a multi-Region id": (tags("mrk-" + "0a" * 16), {}, "_custom_id_ must be a UUID in lower case"),
    "a UUID": (tags(ID % 9), {"MultiRegion": True}, "_custom_id_ must be mrk- and 32 hex digits"),
    "no base64": (tags(material="*"), {}, "_custom_key_material_ is not base64."),
    "too short": (tags(material=b"short"), {}, "The key material is not valid for KeySpec SYMMETRIC_DEFAULT."),
    "imported": (tags(material=SECRET), {"Origin": "EXTERNAL"}, "is for keys of Origin AWS_KMS only"),
    "no private key": (
        tags(material=SECRET),
        {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"},
        "_custom_key_material_: it is not a private key in DER",
    ),
    "another tag that is too long": (tags(ID % 9, long="x" * 257), {}, "Member must have length less than or equal to"),
}


@pytest.mark.parametrize(("found", "more", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be(
    server: LocalDeployment, found: list[dict[str, str]], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(Refused) as refused:
        created(server, found, **more)
    assert message in str(refused.value)
    assert base64.b64encode(SECRET).decode() not in str(refused.value)


def test_a_key_of_another_curve(server: LocalDeployment) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    encoded = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(Refused, match="is a key of spec ECC_NIST_P384, not ECC_NIST_P256"):
        created(server, tags(material=encoded), KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")


def test_elsewhere_the_tags_are_tags(tmp_path: Path) -> None:
    deployment = LocalDeployment(tmp_path / "data", ManualClock(NOW))
    key_id = created(deployment, tags(ID % 3, SECRET))
    assert key_id != ID % 3
    listed = {tag["TagKey"] for tag in deployment.call("ListResourceTags", KeyId=key_id)["Tags"]}
    assert listed == {"_custom_id_", "_custom_key_material_"}
    deployment.deployment.close()
