"""DeriveSharedSecret, Encapsulate and Decapsulate: shared secrets."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)
from mypy_boto3_kms.client import KMSClient

from client_errors import error_code_of, error_of
from clients import response_members
from key_import import wrap
from shared_keys import SharedKeys

CURVES: dict[str, tuple[ec.EllipticCurve, int]] = {
    "ECC_NIST_P256": (ec.SECP256R1(), 32),
    "ECC_NIST_P384": (ec.SECP384R1(), 48),
    "ECC_NIST_P521": (ec.SECP521R1(), 66),
}
P256 = ("ECC_NIST_P256", "KEY_AGREEMENT")
# Source: FIPS 203, table 3.
ENCAPSULATED = {"ML_KEM_512": 768, "ML_KEM_768": 1088, "ML_KEM_1024": 1568}
KEM = ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE")
WOULD_SUCCEED = {
    "Code": "DryRunOperationException",
    "Message": "The request would have succeeded, but the DryRun option is set.",
}


def spki(private_key: Any) -> bytes:
    public: bytes = private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public


def derive(arn: str, peer: bytes, **more: Any) -> dict[str, Any]:
    """Return the parameters of DeriveSharedSecret."""
    return {"KeyId": arn, "KeyAgreementAlgorithm": "ECDH", "PublicKey": peer, **more}


def kem(arn: str, blob: bytes | None = None, **more: Any) -> dict[str, Any]:
    """Return the parameters of Encapsulate, or those of Decapsulate if there is something in a capsule."""
    call = {"KeyId": arn, "EncapsulationAlgorithm": "ML_KEM", **more}
    return call if blob is None else {**call, "SharedSecretCiphertextBlob": blob}


@pytest.mark.parametrize("spec", CURVES)
def test_two_keys_derive_one_secret(kms: KMSClient, keys: SharedKeys, spec: str) -> None:
    one, two = keys(spec, "KEY_AGREEMENT"), keys.new(spec, "KEY_AGREEMENT")
    public = {arn: kms.get_public_key(KeyId=arn)["PublicKey"] for arn in (one, two)}
    answer = response_members(kms.derive_shared_secret(**derive(one.rpartition("/")[2], public[two])))
    secret = answer.pop("SharedSecret")
    assert answer == {"KeyId": one, "KeyAgreementAlgorithm": "ECDH", "KeyOrigin": "AWS_KMS"}
    assert len(secret) == CURVES[spec][1]
    assert kms.derive_shared_secret(**derive(two, public[one]))["SharedSecret"] == secret
    assert kms.derive_shared_secret(**derive(one, public[one]))["SharedSecret"] != secret


@pytest.mark.parametrize("spec", CURVES)
def test_a_key_outside_derives_the_same_secret(kms: KMSClient, keys: SharedKeys, spec: str) -> None:
    arn = keys(spec, "KEY_AGREEMENT")
    peer = ec.generate_private_key(CURVES[spec][0])
    ours = load_der_public_key(kms.get_public_key(KeyId=arn)["PublicKey"])
    assert isinstance(ours, ec.EllipticCurvePublicKey)
    secret = kms.derive_shared_secret(**derive(arn, spki(peer)))["SharedSecret"]
    assert secret == peer.exchange(ec.ECDH(), ours)


def test_an_imported_key_says_that_it_is(kms: KMSClient, keys: SharedKeys) -> None:
    arn = keys.new(*P256, Origin="EXTERNAL")
    mine, peer = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    refused = {"Code": "KMSInvalidStateException", "Message": f"{arn} is pending import."}
    assert error_of(kms.derive_shared_secret, **derive(arn, spki(peer))) == refused
    given = kms.get_parameters_for_import(KeyId=arn, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048")
    material = mine.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    kms.import_key_material(
        KeyId=arn,
        ImportToken=given["ImportToken"],
        EncryptedKeyMaterial=wrap(given["PublicKey"], "RSAES_OAEP_SHA_256", material),
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )
    answer = kms.derive_shared_secret(**derive(arn, spki(peer)))
    assert (answer["KeyOrigin"], answer["SharedSecret"]) == ("EXTERNAL", peer.exchange(ec.ECDH(), mine.public_key()))


def test_what_is_no_public_key_on_the_curve(kms: KMSClient, keys: SharedKeys) -> None:
    peer = ec.generate_private_key(ec.SECP256R1())
    good = spki(peer)
    off_the_curve = good[:-1] + bytes((good[-1] ^ 1,))
    point = peer.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    pem = peer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    pkcs8 = peer.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    others = (
        *(spki(ec.generate_private_key(curve)) for curve in (ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1())),
        spki(rsa.generate_private_key(65537, 2048)),
        spki(x25519.X25519PrivateKey.generate()),
    )
    for bad in (off_the_curve, point, pem, pkcs8, good[:-1], good + b"\x00", b"\x00", bytes(8192), *others):
        refused = error_of(kms.derive_shared_secret, **derive(keys(*P256), bad))
        assert refused == {"Code": "ValidationException", "Message": ""}
    for length in (0, 8193):
        refused = error_of(kms.derive_shared_secret, **derive(keys(*P256), bytes(length)))
        assert refused["Code"] == "ValidationException"
        assert "at 'publicKey' failed to satisfy constraint: Member must have length" in refused["Message"]


@pytest.mark.parametrize("spec", ENCAPSULATED)
def test_what_is_encapsulated_is_decapsulated(kms: KMSClient, keys: SharedKeys, spec: str) -> None:
    arn = keys(spec, "ENCAPSULATE_DECAPSULATE")
    call = kem(arn.rpartition("/")[2])
    answer = response_members(kms.encapsulate(**call))
    secret, blob = answer.pop("SharedSecret"), answer.pop("SharedSecretCiphertextBlob")
    assert answer == {"KeyId": arn, "EncapsulationAlgorithm": "ML_KEM"}
    assert (len(secret), len(blob)) == (32, ENCAPSULATED[spec])
    assert response_members(kms.decapsulate(**call, SharedSecretCiphertextBlob=blob)) == {
        "KeyId": arn,
        "SharedSecret": secret,
        "EncapsulationAlgorithm": "ML_KEM",
    }
    again = kms.encapsulate(**call)
    assert secret != again["SharedSecret"]
    assert blob != again["SharedSecretCiphertextBlob"]


@pytest.mark.parametrize("spec", ENCAPSULATED)
def test_an_altered_capsule_gives_an_unrelated_secret(kms: KMSClient, keys: SharedKeys, spec: str) -> None:
    """Implicit rejection (FIPS 203, algorithm 18): the same unrelated secret each time, and no error."""
    arn, other = keys(spec, "ENCAPSULATE_DECAPSULATE"), keys.new(spec, "ENCAPSULATE_DECAPSULATE")
    made = kms.encapsulate(**kem(arn))
    secret, blob = made["SharedSecret"], made["SharedSecretCiphertextBlob"]
    altered = [blob[:at] + bytes((blob[at] ^ 1,)) + blob[at + 1 :] for at in (0, len(blob) // 2, len(blob) - 1)]
    secrets = {secret, kms.decapsulate(**kem(other, blob))["SharedSecret"]}
    for wrong in (*altered, bytes(len(blob))):
        rejected, again = (kms.decapsulate(**kem(arn, wrong))["SharedSecret"] for _ in range(2))
        assert rejected == again
        assert len(rejected) == 32
        secrets.add(rejected)
    assert len(secrets) == 6


def test_a_capsule_of_the_wrong_length(kms: KMSClient, keys: SharedKeys) -> None:
    for length in (1, 768, 1087, 1089, 1568, 6144):
        refused = error_of(kms.decapsulate, **kem(keys(*KEM), bytes(length)))
        assert refused == {"Code": "InvalidCiphertextException", "Message": ""}
    for length in (0, 6145):
        assert error_code_of(kms.decapsulate, **kem(keys(*KEM), bytes(length))) == "ValidationException"


def test_keys_of_another_usage_share_nothing(kms: KMSClient, keys: SharedKeys) -> None:
    peer = spki(ec.generate_private_key(ec.SECP256R1()))
    for spec, usage in (("ECC_NIST_P256", "SIGN_VERIFY"), ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")):
        arn = keys(spec, usage)
        for operation, call, arguments in (
            ("DeriveSharedSecret", kms.derive_shared_secret, derive(arn, peer)),
            ("Encapsulate", kms.encapsulate, kem(arn)),
            ("Decapsulate", kms.decapsulate, kem(arn, bytes(1088))),
        ):
            assert error_of(call, **arguments) == {
                "Code": "InvalidKeyUsageException",
                "Message": f"{arn} key usage is {usage} which is not valid for {operation}.",
            }
    assert error_code_of(kms.encapsulate, **kem(keys(*P256))) == "InvalidKeyUsageException"
    assert error_code_of(kms.derive_shared_secret, **derive(keys(*KEM), peer)) == "InvalidKeyUsageException"


def test_algorithms_that_do_not_exist(kms: KMSClient, keys: SharedKeys) -> None:
    peer = spki(ec.generate_private_key(ec.SECP256R1()))
    ecdh = derive(keys(*P256), peer, KeyAgreementAlgorithm="X25519")
    assert "at 'keyAgreementAlgorithm'" in error_of(kms.derive_shared_secret, **ecdh)["Message"]
    other = kem(keys(*KEM), EncapsulationAlgorithm="RSA_KEM")
    assert "at 'encapsulationAlgorithm'" in error_of(kms.encapsulate, **other)["Message"]


def test_the_key_can_be_named_in_all_four_forms(kms: KMSClient, keys: SharedKeys) -> None:
    peer = spki(ec.generate_private_key(ec.SECP256R1()))
    agreement, encapsulation = keys.new(*P256), keys.new(*KEM)
    for name in keys.names(agreement):
        assert kms.derive_shared_secret(**derive(name, peer))["KeyId"] == agreement
    for name in keys.names(encapsulation):
        made = kms.encapsulate(**kem(name))
        assert made["KeyId"] == encapsulation
        assert kms.decapsulate(**kem(name, made["SharedSecretCiphertextBlob"]))["KeyId"] == encapsulation


def test_dry_runs_and_states(kms: KMSClient, keys: SharedKeys) -> None:
    peer = spki(ec.generate_private_key(ec.SECP256R1()))
    agreement, encapsulation = keys.new(*P256), keys.new(*KEM)
    blob = kms.encapsulate(**kem(encapsulation))["SharedSecretCiphertextBlob"]
    calls: list[tuple[Any, dict[str, Any]]] = [
        (kms.derive_shared_secret, derive(agreement, peer)),
        (kms.encapsulate, kem(encapsulation)),
        (kms.decapsulate, kem(encapsulation, blob)),
    ]
    for call, arguments in calls:
        assert error_of(call, **arguments, DryRun=True) == WOULD_SUCCEED
    for stop, code, state in (
        (kms.disable_key, "DisabledException", "disabled"),
        (kms.schedule_key_deletion, "KMSInvalidStateException", "pending deletion"),
    ):
        for arn in (agreement, encapsulation):
            stop(KeyId=arn)
        for call, arguments in calls:
            refused = {"Code": code, "Message": f"{arguments['KeyId']} is {state}."}
            assert error_of(call, **arguments) == refused
            assert error_of(call, **arguments, DryRun=True) == refused
