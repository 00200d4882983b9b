"""Wrapping of key material for an import, and unwrapping.

RSAES_OAEP is RFC 8017, 7.1, with the same hash for the mask, and no label. RSA_AES_KEY_WRAP is an AES-256 key under
RSAES_OAEP, followed by the material under that key: AES Key Wrap with Padding, RFC 5649. It is CKM_RSA_AES_KEY_WRAP of
PKCS #11 (3.0, 2.1.24), so that an HSM can be either side.

All failures raise the same error, because knowing which step failed would help an attacker (padding oracle).
"""

from typing import cast

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap_with_padding, aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

from strongroom.crypto.key_encodings import load_private_key
from strongroom.crypto.software.rsa import OAEP
from strongroom.entropy import Entropy
from strongroom.errors import InvalidCiphertextException
from strongroom.keys.wrapping import KEY_WRAPPING, OAEP_OF, WRAPPING_AES_KEY_LENGTH, WrappingAlgorithm


def unwrap_material(wrapping_key: bytes, algorithm: WrappingAlgorithm, encrypted: bytes) -> bytes:
    """Return key material that was wrapped for a wrapping key (PKCS #8); raises InvalidCiphertextException."""
    private = cast("rsa.RSAPrivateKey", load_private_key(wrapping_key))
    block = private.key_size // 8 if algorithm in KEY_WRAPPING else len(encrypted)
    try:
        opened = private.decrypt(encrypted[:block], OAEP[OAEP_OF[algorithm]])
        if algorithm not in KEY_WRAPPING:
            return opened
        if len(opened) != WRAPPING_AES_KEY_LENGTH:
            raise InvalidCiphertextException
        return aes_key_unwrap_with_padding(opened, encrypted[block:])
    except (ValueError, InvalidUnwrap):
        raise InvalidCiphertextException from None


def wrap_material(public_key: bytes, algorithm: WrappingAlgorithm, material: bytes, entropy: Entropy) -> bytes:
    """Return key material wrapped for a wrapping key (SubjectPublicKeyInfo), as its owner would send it.

    Raises ValueError if the material is too large for the algorithm.
    """
    wrapping_key = cast("rsa.RSAPublicKey", load_der_public_key(public_key))
    oaep = OAEP[OAEP_OF[algorithm]]
    if algorithm not in KEY_WRAPPING:
        return wrapping_key.encrypt(material, oaep)
    aes_key = entropy(WRAPPING_AES_KEY_LENGTH)
    return wrapping_key.encrypt(aes_key, oaep) + aes_key_wrap_with_padding(aes_key, material)
