"""OpenSSL's command line opens, verifies and derives what we encrypt, sign and agree on, and the other way round."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from client_errors import error_code_of
from openssl import OpenSsl

MESSAGE = b"signed here, verified there"
Make = Callable[[str, str], str]

PKCS1 = ["-sigopt", "rsa_padding_mode:pkcs1"]
PSS = ["-sigopt", "rsa_padding_mode:pss", "-sigopt"]
# fmt: off
DIGEST_SIGNATURES = [
    ("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256", "sha256", PKCS1),
    ("RSA_3072", "RSASSA_PKCS1_V1_5_SHA_384", "sha384", PKCS1),
    ("RSA_4096", "RSASSA_PKCS1_V1_5_SHA_512", "sha512", PKCS1),
    ("RSA_2048", "RSASSA_PSS_SHA_256",        "sha256", [*PSS, "rsa_pss_saltlen:32"]),
    ("RSA_3072", "RSASSA_PSS_SHA_384",        "sha384", [*PSS, "rsa_pss_saltlen:48"]),
    ("RSA_4096", "RSASSA_PSS_SHA_512",        "sha512", [*PSS, "rsa_pss_saltlen:64"]),
    ("ECC_NIST_P256",   "ECDSA_SHA_256", "sha256", []),
    ("ECC_NIST_P384",   "ECDSA_SHA_384", "sha384", []),
    ("ECC_NIST_P521",   "ECDSA_SHA_512", "sha512", []),
    ("ECC_SECG_P256K1", "ECDSA_SHA_256", "sha256", []),
]
# fmt: on
CURVES = {"ECC_NIST_P256": "P-256", "ECC_NIST_P384": "P-384", "ECC_NIST_P521": "P-521"}


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSsl:
    return OpenSsl(tmp_path)


@pytest.fixture(scope="module")
def key(kms: KMSClient) -> Make:
    """Return a key of a spec and usage; large RSA keys take a second each, so tests share them."""

    @cache
    def make(spec: str, usage: str) -> str:
        arguments: dict[str, Any] = {"KeySpec": spec, "KeyUsage": usage}
        return kms.create_key(**arguments)["KeyMetadata"]["KeyId"]

    return make


@pytest.mark.parametrize(
    ("spec", "digest", "most"),
    [
        ("RSA_2048", "sha1", 214),
        ("RSA_2048", "sha256", 190),
        ("RSA_3072", "sha256", 318),
        ("RSA_4096", "sha1", 470),
        ("RSA_4096", "sha256", 446),
    ],
)
def test_what_openssl_encrypts_under_the_public_key_decrypts(
    kms: KMSClient, key: Make, openssl: OpenSsl, spec: str, digest: str, most: int
) -> None:
    key_id = key(spec, "ENCRYPT_DECRYPT")
    openssl.write("public.der", kms.get_public_key(KeyId=key_id)["PublicKey"])
    algorithm: Any = {"sha1": "RSAES_OAEP_SHA_1", "sha256": "RSAES_OAEP_SHA_256"}[digest]
    for plaintext in (b"x", bytes(most)):
        openssl.write("plaintext", plaintext)
        ciphertext = openssl(
            *("pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", "public.der", "-in", "plaintext"),
            *("-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", f"rsa_oaep_md:{digest}"),
        )
        opened = kms.decrypt(KeyId=key_id, CiphertextBlob=ciphertext, EncryptionAlgorithm=algorithm)
        assert opened["Plaintext"] == plaintext
        other: Any = {"RSAES_OAEP_SHA_1": "RSAES_OAEP_SHA_256"}.get(algorithm, "RSAES_OAEP_SHA_1")
        refused = error_code_of(kms.decrypt, KeyId=key_id, CiphertextBlob=ciphertext, EncryptionAlgorithm=other)
        assert refused == "InvalidCiphertextException"


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_openssl_decrypts_what_a_data_key_pair_is_sent(kms: KMSClient, openssl: OpenSsl, digest: str) -> None:
    """The public half goes to a sender, the private half to OpenSSL."""
    pair = _pair(kms, "RSA_2048")
    openssl.write("private.der", pair["PrivateKeyPlaintext"])
    openssl.write("public.der", pair["PublicKey"])
    openssl.write("plaintext", MESSAGE)
    oaep = ("-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", f"rsa_oaep_md:{digest}", "-keyform", "DER")
    openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", "public.der", "-in", "plaintext", "-out", "ciphertext", *oaep)
    assert openssl("pkeyutl", "-decrypt", "-inkey", "private.der", "-in", "ciphertext", *oaep) == MESSAGE


@pytest.mark.parametrize(("spec", "algorithm", "digest", "options"), DIGEST_SIGNATURES)
def test_signatures_made_here_verify_there(  # noqa: PLR0913, PLR0917 - a row of the table
    kms: KMSClient, key: Make, openssl: OpenSsl, spec: str, algorithm: Any, digest: str, options: list[str]
) -> None:
    key_id = key(spec, "SIGN_VERIFY")
    openssl.write("public.der", kms.get_public_key(KeyId=key_id)["PublicKey"])
    openssl.write("message", MESSAGE)
    openssl.write("other", MESSAGE + b".")
    messages: list[dict[str, Any]] = [
        {"Message": MESSAGE},
        {"Message": hashlib.new(digest, MESSAGE).digest(), "MessageType": "DIGEST"},
    ]
    for message in messages:
        made = kms.sign(KeyId=key_id, SigningAlgorithm=algorithm, **message)
        openssl.write("signature", made["Signature"])
        verify = ("dgst", f"-{digest}", "-keyform", "DER", "-verify", "public.der", "-signature", "signature", *options)
        assert openssl(*verify, "message") == b"Verified OK\n"
        assert openssl.run(*verify, "other").returncode == 1
        verified = kms.verify(KeyId=key_id, SigningAlgorithm=algorithm, Signature=made["Signature"], **message)
        assert verified["SignatureValid"]


def test_ed25519_signatures_made_here_verify_there(kms: KMSClient, key: Make, openssl: OpenSsl) -> None:
    key_id = key("ECC_NIST_EDWARDS25519", "SIGN_VERIFY")
    made = kms.sign(KeyId=key_id, Message=MESSAGE, SigningAlgorithm="ED25519_SHA_512")
    openssl.write("public.der", kms.get_public_key(KeyId=key_id)["PublicKey"])
    openssl.write("signature", made["Signature"])
    verify = ("pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "public.der", "-rawin")
    openssl.write("message", MESSAGE)
    assert b"Verified Successfully" in openssl(*verify, "-sigfile", "signature", "-in", "message")
    openssl.write("other", MESSAGE + b".")
    assert openssl.run(*verify, "-sigfile", "signature", "-in", "other").returncode == 1


@pytest.mark.parametrize("spec", CURVES)
def test_shared_secrets_are_the_same_on_both_sides(kms: KMSClient, key: Make, openssl: OpenSsl, spec: str) -> None:
    key_id = key(spec, "KEY_AGREEMENT")
    openssl.write("ours.der", kms.get_public_key(KeyId=key_id)["PublicKey"])
    curve = f"ec_paramgen_curve:{CURVES[spec]}"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", curve, "-outform", "DER", "-out", "private.der")
    openssl("pkey", "-in", "private.der", "-inform", "DER", "-pubout", "-outform", "DER", "-out", "theirs.der")
    derived = kms.derive_shared_secret(KeyId=key_id, KeyAgreementAlgorithm="ECDH", PublicKey=openssl.read("theirs.der"))
    expected = openssl(
        *("pkeyutl", "-derive", "-inkey", "private.der", "-keyform", "DER"),
        *("-peerkey", "ours.der", "-peerform", "DER"),
    )
    assert derived["SharedSecret"] == expected
    assert (derived["KeyAgreementAlgorithm"], derived["KeyOrigin"]) == ("ECDH", "AWS_KMS")


@pytest.mark.parametrize(
    ("spec", "described"),
    [
        ("RSA_2048", "Private-Key: (2048 bit, 2 primes)"),
        ("RSA_3072", "Private-Key: (3072 bit, 2 primes)"),
        ("RSA_4096", "Private-Key: (4096 bit, 2 primes)"),
        ("ECC_NIST_P256", "NIST CURVE: P-256"),
        ("ECC_NIST_P384", "NIST CURVE: P-384"),
        ("ECC_NIST_P521", "NIST CURVE: P-521"),
        ("ECC_SECG_P256K1", "ASN1 OID: secp256k1"),
        ("ECC_NIST_EDWARDS25519", "ED25519 Private-Key:"),
    ],
)
def test_data_key_pairs_load_and_their_halves_match(
    kms: KMSClient, openssl: OpenSsl, spec: str, described: str
) -> None:
    pair = _pair(kms, spec)
    openssl.write("private.der", pair["PrivateKeyPlaintext"])
    load = ("pkey", "-inform", "DER", "-in", "private.der")
    assert described in openssl(*load, "-noout", "-text").decode()
    assert openssl(*load, "-pubout", "-outform", "DER") == pair["PublicKey"]
    if not spec.endswith("25519"):
        assert b"Key is valid" in openssl(*load, "-check", "-noout")
    opened = kms.decrypt(CiphertextBlob=pair["PrivateKeyCiphertextBlob"], EncryptionContext={"for": "openssl"})
    assert opened["Plaintext"] == pair["PrivateKeyPlaintext"]


@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P256", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"])
def test_openssl_signs_with_a_data_key_pair_and_verifies_with_its_public_half(
    kms: KMSClient, openssl: OpenSsl, spec: str
) -> None:
    pair, other = _pair(kms, spec), _pair(kms, spec)
    openssl.write("private.der", pair["PrivateKeyPlaintext"])
    openssl.write("public.der", pair["PublicKey"])
    openssl.write("other.der", other["PublicKey"])
    openssl.write("message", MESSAGE)
    raw = ("-rawin", "-in", "message", "-keyform", "DER")
    openssl("pkeyutl", "-sign", "-inkey", "private.der", "-out", "signature", *raw)
    verify = ("pkeyutl", "-verify", "-pubin", "-sigfile", "signature", *raw, "-inkey")
    assert b"Verified Successfully" in openssl(*verify, "public.der")
    assert openssl.run(*verify, "other.der").returncode == 1


def _pair(kms: KMSClient, spec: str) -> dict[str, Any]:
    wrapping = kms.create_key()["KeyMetadata"]["KeyId"]
    arguments: dict[str, Any] = {"KeyPairSpec": spec, "EncryptionContext": {"for": "openssl"}}
    return dict(kms.generate_data_key_pair(KeyId=wrapping, **arguments))
