"""Importing key material as AWS's guide does it: the openssl command line wraps, and afterwards proves the key."""

import hmac
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from client_errors import error_code_of, error_of

MESSAGE = b"to be signed, or tagged"
STAYS: dict[str, Any] = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
NEW: dict[str, Any] = {"ImportType": "NEW_KEY_MATERIAL", **STAYS}
CURVES = {
    "ECC_NIST_P256": ("P-256", "sha256", "ECDSA_SHA_256"),
    "ECC_NIST_P384": ("P-384", "sha384", "ECDSA_SHA_384"),
    "ECC_NIST_P521": ("P-521", "sha512", "ECDSA_SHA_512"),
    "ECC_SECG_P256K1": ("secp256k1", "sha256", "ECDSA_SHA_256"),
}


class OpenSsl:
    """Runs openssl in a folder of the key's owner."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str) -> bytes:
        return subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, check=True).stdout

    def put(self, name: str, content: bytes) -> str:
        (self.folder / name).write_bytes(content)
        return name

    def private_key(self, *options: str) -> bytes:
        """Make a private key; return it as PKCS #8, DER, and leave its public key in ``public.pem``."""
        self("genpkey", *options, "-out", "private.pem")
        self("pkey", "-in", "private.pem", "-pubout", "-out", "public.pem")
        return self("pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", "private.pem")

    def wrap(self, public_key: bytes, algorithm: str, material: bytes) -> bytes:
        """Encrypt key material as the developer guide's "Encrypt the key material" says."""
        self.put("wrapping-key.der", public_key)
        if algorithm.startswith("RSAES_OAEP"):
            return self._oaep(algorithm, material)
        aes_key = self("rand", "32")
        self.put("material", material)
        wrapped = self("enc", "-id-aes256-wrap-pad", "-K", aes_key.hex(), "-iv", "A65959A6", "-in", "material")
        return self._oaep(algorithm, aes_key) + wrapped

    def _oaep(self, algorithm: str, content: bytes) -> bytes:
        digest = "sha1" if algorithm.endswith("SHA_1") else "sha256"
        options = ("rsa_padding_mode:oaep", f"rsa_oaep_md:{digest}", f"rsa_mgf1_md:{digest}")
        how = [part for option in options for part in ("-pkeyopt", option)]
        key = ("-pubin", "-keyform", "DER", "-inkey", "wrapping-key.der")
        return self("pkeyutl", "-encrypt", *key, "-in", self.put("content", content), *how)


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSsl:
    return OpenSsl(tmp_path)


class Importer:
    """Imports into one key."""

    def __init__(self, kms: KMSClient, openssl: OpenSsl, **key: Any) -> None:
        self.kms = kms
        self.openssl = openssl
        made = kms.create_key(Origin="EXTERNAL", **key)["KeyMetadata"]
        self.key_id, self.arn = made["KeyId"], made["Arn"]

    def request(
        self, material: bytes, algorithm: str = "RSAES_OAEP_SHA_256", wrapping_key: str = "RSA_2048", **more: Any
    ) -> dict[str, Any]:
        """Return a whole ImportKeyMaterial request."""
        given = self.kms.get_parameters_for_import(
            KeyId=self.key_id,
            WrappingAlgorithm=algorithm,  # type: ignore[arg-type]  # as a test says it
            WrappingKeySpec=wrapping_key,  # type: ignore[arg-type]
        )
        assert given["KeyId"] == self.arn
        valid_for = given["ParametersValidTo"] - datetime.now(UTC)  # noqa: TID251 - a client
        assert timedelta(hours=23, minutes=59) < valid_for <= timedelta(hours=24)
        encrypted = self.openssl.wrap(given["PublicKey"], algorithm, material)
        how = more or STAYS
        return {"KeyId": self.key_id, "ImportToken": given["ImportToken"], "EncryptedKeyMaterial": encrypted, **how}

    def __call__(self, material: bytes, *how: str, **more: Any) -> str:
        """Import; return the material's id, which only symmetric keys have."""
        done = self.kms.import_key_material(**self.request(material, *how, **more))
        assert done["KeyId"] == self.arn
        return done.get("KeyMaterialId", "")

    def state(self) -> str:
        return self.kms.describe_key(KeyId=self.key_id)["KeyMetadata"]["KeyState"]

    def materials(self) -> list[tuple[str, str, str]]:
        """Return id, state and import state of each material, oldest first."""
        listed = self.kms.list_key_rotations(KeyId=self.key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
        return [(each["KeyMaterialId"], each["KeyMaterialState"], each["ImportState"]) for each in listed]


@pytest.fixture
def symmetric(kms: KMSClient, openssl: OpenSsl) -> Importer:
    return Importer(kms, openssl)


@pytest.mark.parametrize("wrapping_key", ["RSA_2048", "RSA_3072", "RSA_4096"])
@pytest.mark.parametrize("algorithm", ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"])
def test_an_imported_hmac_key_makes_the_tags_that_its_owner_makes(
    kms: KMSClient, openssl: OpenSsl, algorithm: str, wrapping_key: str
) -> None:
    bring = Importer(kms, openssl, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    assert error_code_of(kms.generate_mac, KeyId=bring.key_id, Message=MESSAGE, MacAlgorithm="HMAC_SHA_256") == (
        "KMSInvalidStateException"
    )
    secret = openssl("rand", "104")
    bring(secret, algorithm, wrapping_key)
    tag = kms.generate_mac(KeyId=bring.key_id, Message=MESSAGE, MacAlgorithm="HMAC_SHA_256")["Mac"]
    assert tag == hmac.digest(secret, MESSAGE, "sha256")


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_an_imported_rsa_key_signs_as_its_owner(kms: KMSClient, openssl: OpenSsl, bits: int) -> None:
    bring = Importer(kms, openssl, KeySpec=f"RSA_{bits}", KeyUsage="SIGN_VERIFY")
    bring(openssl.private_key("-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}"), "RSA_AES_KEY_WRAP_SHA_256")
    signed = kms.sign(KeyId=bring.key_id, Message=MESSAGE, SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256")
    openssl.put("signature", signed["Signature"])
    openssl("dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", openssl.put("message", MESSAGE))


def test_an_imported_rsa_key_decrypts_what_was_encrypted_to_its_owner(kms: KMSClient, openssl: OpenSsl) -> None:
    bring = Importer(kms, openssl, KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    bring(openssl.private_key("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"), "RSA_AES_KEY_WRAP_SHA_1")
    padding = ("-pkeyopt", "rsa_padding_mode:oaep")
    sent = openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", "public.pem", "-in", openssl.put("m", MESSAGE), *padding)
    opened = kms.decrypt(KeyId=bring.key_id, CiphertextBlob=sent, EncryptionAlgorithm="RSAES_OAEP_SHA_1")
    assert opened["Plaintext"] == MESSAGE


@pytest.mark.parametrize(
    ("spec", "algorithm", "wrapping_key"),
    [
        ("ECC_NIST_P256", "RSAES_OAEP_SHA_256", "RSA_2048"),
        ("ECC_NIST_P384", "RSAES_OAEP_SHA_1", "RSA_2048"),
        ("ECC_NIST_P521", "RSAES_OAEP_SHA_256", "RSA_3072"),
        ("ECC_NIST_P521", "RSA_AES_KEY_WRAP_SHA_256", "RSA_2048"),
        ("ECC_SECG_P256K1", "RSA_AES_KEY_WRAP_SHA_1", "RSA_3072"),
    ],
)
def test_an_imported_elliptic_key_signs_as_its_owner(
    kms: KMSClient, openssl: OpenSsl, spec: str, algorithm: str, wrapping_key: str
) -> None:
    curve, digest, signing = CURVES[spec]
    bring = Importer(kms, openssl, KeySpec=spec, KeyUsage="SIGN_VERIFY")
    bring(openssl.private_key("-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}"), algorithm, wrapping_key)
    signed = kms.sign(KeyId=bring.key_id, Message=MESSAGE, SigningAlgorithm=signing)  # type: ignore[arg-type]
    openssl.put("signature", signed["Signature"])
    openssl("dgst", f"-{digest}", "-verify", "public.pem", "-signature", "signature", openssl.put("message", MESSAGE))
    public = openssl("pkey", "-pubin", "-in", "public.pem", "-outform", "DER")
    assert kms.get_public_key(KeyId=bring.key_id)["PublicKey"] == public


def test_an_imported_ed25519_key_signs_as_its_owner(kms: KMSClient, openssl: OpenSsl) -> None:
    bring = Importer(kms, openssl, KeySpec="ECC_NIST_EDWARDS25519", KeyUsage="SIGN_VERIFY")
    bring(openssl.private_key("-algorithm", "ED25519"))
    openssl.put(
        "signature", kms.sign(KeyId=bring.key_id, Message=MESSAGE, SigningAlgorithm="ED25519_SHA_512")["Signature"]
    )
    message = openssl.put("message", MESSAGE)
    key = ("-pubin", "-inkey", "public.pem")
    openssl("pkeyutl", "-verify", *key, "-rawin", "-in", message, "-sigfile", "signature")


def test_an_imported_key_agrees_on_the_secret_that_its_owner_would(kms: KMSClient, openssl: OpenSsl) -> None:
    bring = Importer(kms, openssl, KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")
    bring(openssl.private_key("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
    (openssl.folder / "private.pem").rename(openssl.folder / "mine.pem")
    openssl.private_key("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    peer = openssl("pkey", "-pubin", "-in", "public.pem", "-outform", "DER")
    derived = kms.derive_shared_secret(KeyId=bring.key_id, KeyAgreementAlgorithm="ECDH", PublicKey=peer)
    assert derived["SharedSecret"] == openssl("pkeyutl", "-derive", "-inkey", "mine.pem", "-peerkey", "public.pem")


def test_a_ciphertext_from_before_a_deletion_opens_after_the_same_material_is_back(
    kms: KMSClient, symmetric: Importer, openssl: OpenSsl
) -> None:
    secret = openssl("rand", "32")
    material_id = symmetric(secret)
    described = kms.describe_key(KeyId=symmetric.key_id)["KeyMetadata"]
    assert (described["KeyState"], described["ExpirationModel"], described["CurrentKeyMaterialId"]) == (
        "Enabled",
        "KEY_MATERIAL_DOES_NOT_EXPIRE",
        material_id,
    )
    assert "ValidTo" not in described
    blob = kms.encrypt(KeyId=symmetric.key_id, Plaintext=b"kept")["CiphertextBlob"]

    deleted = kms.delete_imported_key_material(KeyId=symmetric.key_id)
    assert (deleted["KeyId"], deleted["KeyMaterialId"]) == (symmetric.arn, material_id)
    described = kms.describe_key(KeyId=symmetric.key_id)["KeyMetadata"]
    assert described["KeyState"] == "PendingImport"
    assert not {"ExpirationModel", "ValidTo"} & described.keys()
    assert described["CurrentKeyMaterialId"] == material_id
    waiting = {"Code": "KMSInvalidStateException", "Message": f"{symmetric.arn} is pending import."}
    assert error_of(kms.decrypt, CiphertextBlob=blob) == waiting
    assert error_of(kms.rotate_key_on_demand, KeyId=symmetric.key_id) == waiting
    assert symmetric.materials() == [(material_id, "CURRENT", "PENDING_IMPORT")]

    other = symmetric.request(openssl("rand", "32"))
    assert error_code_of(kms.import_key_material, **other) == "IncorrectKeyMaterialException"
    assert symmetric(secret) == material_id
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"kept"


def test_rotation_uses_the_material_that_was_imported_for_it(
    kms: KMSClient, symmetric: Importer, openssl: OpenSsl
) -> None:
    secrets = [openssl("rand", "32") for _ in range(3)]
    first = symmetric(secrets[0])
    assert error_of(kms.rotate_key_on_demand, KeyId=symmetric.key_id) == {
        "Code": "KMSInvalidStateException",
        "Message": f"No available key material pending rotation for the key: {symmetric.arn}.",
    }
    blob = kms.encrypt(KeyId=symmetric.key_id, Plaintext=b"kept")["CiphertextBlob"]
    second = symmetric(secrets[1], **NEW, KeyMaterialDescription="for 2027")
    assert symmetric.materials() == [(first, "CURRENT", "IMPORTED"), (second, "PENDING_ROTATION", "IMPORTED")]
    third = symmetric.request(secrets[2], **NEW)
    message = error_of(kms.import_key_material, **third)["Message"]
    assert message.startswith("New key material (id: ")
    assert message.endswith(
        f") cannot be imported into KMS key {symmetric.arn}, "
        f"because another key material (id: {second}) is pending rotation."
    )
    assert kms.decrypt(CiphertextBlob=blob)["KeyMaterialId"] == first

    assert kms.rotate_key_on_demand(KeyId=symmetric.key_id)["KeyId"] == symmetric.arn
    assert symmetric.materials() == [(first, "NON_CURRENT", "IMPORTED"), (second, "CURRENT", "IMPORTED")]
    (rotation,) = kms.list_key_rotations(KeyId=symmetric.key_id)["Rotations"]
    assert (rotation["RotationType"], rotation["KeyMaterialDescription"], rotation["ExpirationModel"]) == (
        "ON_DEMAND",
        "for 2027",
        "KEY_MATERIAL_DOES_NOT_EXPIRE",
    )
    assert kms.decrypt(CiphertextBlob=blob)["KeyMaterialId"] == first
    assert kms.generate_data_key(KeyId=symmetric.key_id, KeySpec="AES_256")["KeyMaterialId"] == second

    kms.delete_imported_key_material(KeyId=symmetric.key_id, KeyMaterialId=first)
    assert symmetric.state() == "PendingImport"
    assert error_code_of(kms.encrypt, KeyId=symmetric.key_id, Plaintext=b"x") == "KMSInvalidStateException"
    assert symmetric(secrets[0], KeyMaterialId=first, **STAYS) == first
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"kept"


def test_automatic_rotation_is_not_for_imported_material(kms: KMSClient, symmetric: Importer, openssl: OpenSsl) -> None:
    symmetric(openssl("rand", "32"))
    assert kms.get_key_rotation_status(KeyId=symmetric.key_id)["KeyRotationEnabled"] is False
    assert error_of(kms.enable_key_rotation, KeyId=symmetric.key_id) == {
        "Code": "UnsupportedOperationException",
        "Message": f"{symmetric.arn} origin is EXTERNAL which is not valid for this operation.",
    }


def test_material_that_expires_says_when(kms: KMSClient, symmetric: Importer, openssl: OpenSsl) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)  # noqa: TID251 - a client
    secret = openssl("rand", "32")
    symmetric(secret, ValidTo=until)
    described = kms.describe_key(KeyId=symmetric.key_id)["KeyMetadata"]
    assert (described["ExpirationModel"], described["ValidTo"]) == ("KEY_MATERIAL_EXPIRES", until)
    (entry,) = kms.list_key_rotations(KeyId=symmetric.key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert (entry["ExpirationModel"], entry["ValidTo"]) == ("KEY_MATERIAL_EXPIRES", until)
    assert not {"RotationDate", "RotationType", "KeyMaterialDescription"} & entry.keys()
    symmetric(secret)
    assert "ValidTo" not in kms.describe_key(KeyId=symmetric.key_id)["KeyMetadata"]


def test_what_is_not_the_key_material_that_the_key_takes(kms: KMSClient, symmetric: Importer, openssl: OpenSsl) -> None:
    request = symmetric.request(openssl("rand", "32"))
    encrypted = request.pop("EncryptedKeyMaterial")
    for broken in (encrypted[:-1], encrypted + b"\x00", bytes((*encrypted[:-1], encrypted[-1] ^ 1))):
        refused = error_of(kms.import_key_material, **request, EncryptedKeyMaterial=broken)
        assert refused == {"Code": "InvalidCiphertextException", "Message": ""}
    short = symmetric.request(openssl("rand", "16"))
    assert error_code_of(kms.import_key_material, **short) == "IncorrectKeyMaterialException"
    elsewhere = Importer(kms, openssl)
    request["KeyId"] = elsewhere.key_id
    assert (
        error_code_of(kms.import_key_material, **request, EncryptedKeyMaterial=encrypted)
        == "InvalidImportTokenException"
    )
    assert symmetric.state() == "PendingImport"


@pytest.mark.parametrize(
    ("spec", "usage", "algorithm", "wrapping_key"),
    [
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "RSAES_PKCS1_V1_5", "RSA_2048"),
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "RSA_AES_KEY_WRAP_SHA_256", "RSA_2048"),
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "SM2PKE", "SM2"),
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "RSAES_OAEP_SHA_256", "SM2"),
        ("RSA_2048", "SIGN_VERIFY", "RSAES_OAEP_SHA_256", "RSA_4096"),
        ("ECC_NIST_P521", "SIGN_VERIFY", "RSAES_OAEP_SHA_1", "RSA_2048"),
    ],
)
def test_ways_of_wrapping_that_are_not_offered(
    kms: KMSClient, openssl: OpenSsl, spec: str, usage: str, algorithm: str, wrapping_key: str
) -> None:
    key_id = Importer(kms, openssl, KeySpec=spec, KeyUsage=usage).key_id
    asked = {"KeyId": key_id, "WrappingAlgorithm": algorithm, "WrappingKeySpec": wrapping_key}
    assert error_code_of(kms.get_parameters_for_import, **asked) == "UnsupportedOperationException"


@pytest.mark.parametrize(("spec", "usage"), [("ML_DSA_44", "SIGN_VERIFY"), ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE")])
def test_post_quantum_keys_are_made_here(kms: KMSClient, spec: str, usage: str) -> None:
    refused = error_code_of(kms.create_key, Origin="EXTERNAL", KeySpec=spec, KeyUsage=usage)
    assert refused == "UnsupportedOperationException"


def test_a_key_pending_deletion_gives_its_material_up_but_takes_none(
    kms: KMSClient, symmetric: Importer, openssl: OpenSsl
) -> None:
    request = symmetric.request(openssl("rand", "32"))
    kms.import_key_material(**request)
    kms.schedule_key_deletion(KeyId=symmetric.key_id)
    refused = {"Code": "KMSInvalidStateException", "Message": f"{symmetric.arn} is pending deletion."}
    assert error_of(kms.import_key_material, **request) == refused
    kms.delete_imported_key_material(KeyId=symmetric.key_id)
    assert symmetric.state() == "PendingDeletion"
    kms.cancel_key_deletion(KeyId=symmetric.key_id)
    assert symmetric.state() == "PendingImport"
    kms.import_key_material(**request)
    assert symmetric.state() == "Enabled"
