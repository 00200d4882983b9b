"""Key material for ImportKeyMaterial, wrapped as its owner would, without code of the service."""

import base64
import os
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_public_key

from local_deployment import LocalDeployment

entropy = os.urandom  # noqa: TID251 - the key owner's randomness

CURVES: dict[str, ec.EllipticCurve] = {
    "ECC_NIST_P256": ec.SECP256R1(),
    "ECC_NIST_P384": ec.SECP384R1(),
    "ECC_NIST_P521": ec.SECP521R1(),
    "ECC_SECG_P256K1": ec.SECP256K1(),
}


def private_key(spec: str) -> bytes:
    """Return a new private key of a key spec, as PKCS #8 in DER."""
    made: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey
    if spec.startswith("RSA"):
        made = rsa.generate_private_key(65537, int(spec.removeprefix("RSA_")))
    else:
        made = ec.generate_private_key(CURVES[spec]) if spec in CURVES else Ed25519PrivateKey.generate()
    return made.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def wrap(public_key: bytes, algorithm: str, material: bytes, aes_key_length: int = 32) -> bytes:
    """Return key material wrapped for a public key with one of AWS's wrapping algorithms."""
    wrapping_key = cast("rsa.RSAPublicKey", load_der_public_key(public_key))
    digest = SHA1() if algorithm.endswith("SHA_1") else SHA256()  # noqa: S303 - AWS's algorithm
    oaep = padding.OAEP(padding.MGF1(digest), digest, None)
    if algorithm.startswith("RSAES_OAEP"):
        return wrapping_key.encrypt(material, oaep)
    aes_key = entropy(aes_key_length)
    return wrapping_key.encrypt(aes_key, oaep) + aes_key_wrap_with_padding(aes_key, material)


def parameters(
    local: LocalDeployment, key_id: str, algorithm: str = "RSAES_OAEP_SHA_256", region: str = "us-east-1"
) -> dict[str, Any]:
    """Return the response of GetParametersForImport: a wrapping key and an import token."""
    request = {"KeyId": key_id, "WrappingAlgorithm": algorithm, "WrappingKeySpec": "RSA_2048"}
    return local.call("GetParametersForImport", region=region, **request)


def wrapped(given: dict[str, Any], material: bytes, algorithm: str = "RSAES_OAEP_SHA_256") -> dict[str, Any]:
    """Return the members ImportToken and EncryptedKeyMaterial of an ImportKeyMaterial request."""
    encrypted = wrap(base64.b64decode(given["PublicKey"]), algorithm, material)
    return {
        "ImportToken": given["ImportToken"],
        "EncryptedKeyMaterial": base64.b64encode(encrypted).decode(),
    }


def import_material(
    local: LocalDeployment, key_id: str, material: bytes, region: str = "us-east-1", **more: Any
) -> dict[str, Any]:
    """Import material that does not expire, unless ``more`` says that it does."""
    if "ValidTo" not in more:
        more = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE", **more}
    request = wrapped(parameters(local, key_id, region=region), material)
    return local.call("ImportKeyMaterial", KeyId=key_id, region=region, **request, **more)
