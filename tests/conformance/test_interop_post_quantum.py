"""ML-KEM, ML-DSA and Ed25519ph against implementations that share no code with ours.

OpenSSL's command line has them only in newer releases than people's systems do. kyber-py and dilithium-py are plain
Python written from FIPS 203 and 204; PyCryptodome reads the formats of RFC 9881 and 9935, and has Ed25519ph.
"""

import hashlib
from typing import Any

import pytest
from Crypto.Hash import SHA512
from Crypto.PublicKey import ECC, MLDSA, MLKEM
from Crypto.Signature import eddsa
from dilithium_py.ml_dsa import ML_DSA_44, ML_DSA_65, ML_DSA_87
from kyber_py.ml_kem import ML_KEM_512, ML_KEM_768, ML_KEM_1024
from mypy_boto3_kms.client import KMSClient

from client_errors import error_code_of

MESSAGE = b"signed here, verified there"
ML_KEMS: dict[str, Any] = {"ML_KEM_512": ML_KEM_512, "ML_KEM_768": ML_KEM_768, "ML_KEM_1024": ML_KEM_1024}
ML_DSAS: dict[str, Any] = {"ML_DSA_44": ML_DSA_44, "ML_DSA_65": ML_DSA_65, "ML_DSA_87": ML_DSA_87}


def _key(kms: KMSClient, spec: str, usage: str) -> tuple[str, bytes]:
    arguments: dict[str, Any] = {"KeySpec": spec, "KeyUsage": usage}
    key_id = kms.create_key(**arguments)["KeyMetadata"]["KeyId"]
    return key_id, kms.get_public_key(KeyId=key_id)["PublicKey"]


@pytest.mark.parametrize("spec", ML_KEMS)
def test_what_is_encapsulated_elsewhere_is_decapsulated_here(kms: KMSClient, spec: str) -> None:
    key_id, public = _key(kms, spec, "ENCAPSULATE_DECAPSULATE")
    encapsulation_key = MLKEM.import_key(public).ek
    secret, ciphertext = ML_KEMS[spec].encaps(encapsulation_key)
    call: dict[str, Any] = {"KeyId": key_id, "EncapsulationAlgorithm": "ML_KEM"}
    assert kms.decapsulate(SharedSecretCiphertextBlob=ciphertext, **call)["SharedSecret"] == secret
    rejected = kms.decapsulate(SharedSecretCiphertextBlob=ciphertext[::-1], **call)["SharedSecret"]
    assert len(rejected) == 32
    assert rejected != secret
    for wrong in (ciphertext[:-1], ciphertext + b"\x00"):
        assert error_code_of(kms.decapsulate, SharedSecretCiphertextBlob=wrong, **call) == "InvalidCiphertextException"


@pytest.mark.parametrize("spec", ML_KEMS)
def test_ml_kem_data_key_pairs_work_elsewhere(kms: KMSClient, spec: str) -> None:
    call: dict[str, Any] = {"KeyId": kms.create_key()["KeyMetadata"]["KeyId"], "KeyPairSpec": spec}
    pair = kms.generate_data_key_pair(**call)
    private, public = MLKEM.import_key(pair["PrivateKeyPlaintext"]), MLKEM.import_key(pair["PublicKey"])
    assert private.public_key() == public
    secret, ciphertext = ML_KEMS[spec].encaps(public.ek)
    assert ML_KEMS[spec].decaps(private.expanded_dk, ciphertext) == secret
    if spec != "ML_KEM_512":  # which has no seed; see docs/divergences.md
        assert ML_KEMS[spec].key_derive(private.seed) == (public.ek, private.expanded_dk)


@pytest.mark.parametrize("spec", ML_DSAS)
def test_ml_dsa_signatures_made_here_verify_there(kms: KMSClient, spec: str) -> None:
    key_id, public = _key(kms, spec, "SIGN_VERIFY")
    verifying_key, ml_dsa = MLDSA.import_key(public).pk, ML_DSAS[spec]
    mu = ml_dsa.prehash_external_mu(verifying_key, MESSAGE, b"")
    messages: list[dict[str, Any]] = [{"Message": MESSAGE}, {"Message": mu, "MessageType": "EXTERNAL_MU"}]
    call: dict[str, Any] = {"KeyId": key_id, "SigningAlgorithm": "ML_DSA_SHAKE_256"}
    signatures = [kms.sign(**message, **call)["Signature"] for message in messages]
    for signature in signatures:
        assert ml_dsa.verify(verifying_key, MESSAGE, signature)
        assert not ml_dsa.verify(verifying_key, MESSAGE + b".", signature)
        for message in messages:
            assert kms.verify(Signature=signature, **message, **call)["SignatureValid"]
        altered = signature[:-1] + bytes((signature[-1] ^ 1,))
        assert error_code_of(kms.verify, Signature=altered, **messages[0], **call) == "KMSInvalidSignatureException"


def test_ed25519ph_hashes_the_digest_it_is_given_once_more(kms: KMSClient) -> None:
    """KMS API Reference, Sign: for ED25519_PH_SHA_512 the digest is the message, and is hashed again."""
    key_id, public = _key(kms, "ECC_NIST_EDWARDS25519", "SIGN_VERIFY")
    digest = hashlib.sha512(MESSAGE).digest()
    call: dict[str, Any] = {"KeyId": key_id, "SigningAlgorithm": "ED25519_PH_SHA_512", "MessageType": "DIGEST"}
    signature = kms.sign(Message=digest, **call)["Signature"]
    verifier = eddsa.new(ECC.import_key(public), "rfc8032")
    verifier.verify(SHA512.new(digest), signature)
    with pytest.raises(ValueError, match="not authentic"):
        verifier.verify(SHA512.new(MESSAGE), signature)
    assert kms.verify(Message=digest, Signature=signature, **call)["SignatureValid"]
