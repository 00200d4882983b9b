"""Mechanisms as C takes them, with their parameters (PKCS #11 Current Mechanisms 3.1)."""

import ctypes
from ctypes import Structure, addressof, create_string_buffer, sizeof

from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.cryptoki import EcdhParameters, Mechanism, OaepParameters, PssParameters


class Chosen:
    """A mechanism with its parameters. It owns what C reads, so it lives until the call ends."""

    def __init__(self, number: int, parameters: Structure | None = None, *kept: "ctypes.Array[ctypes.c_char]") -> None:
        """Name the number (CKM_) of the mechanism; ``kept`` is what its parameters point to."""
        self._kept = (parameters, kept)
        self.structure = (
            Mechanism(number, None, 0)
            if parameters is None
            else Mechanism(number, addressof(parameters), sizeof(parameters))
        )


def rsa_pss(hash_number: int, mask_number: int, salt_length: int) -> Chosen:
    """Return RSASSA-PSS over a digest (RFC 8017, 8.1). The salt has a length in bytes."""
    return Chosen(c.CKM_RSA_PKCS_PSS, PssParameters(hash_number, mask_number, salt_length))


def rsa_oaep(hash_number: int, mask_number: int) -> Chosen:
    """Return RSAES-OAEP without a label (RFC 8017, 7.1)."""
    return Chosen(c.CKM_RSA_PKCS_OAEP, OaepParameters(hash_number, mask_number, c.CKZ_DATA_SPECIFIED, None, 0))


def ecdh(point: bytes) -> Chosen:
    """Return ECDH with cofactor 1, without a key derivation function, with a peer's uncompressed point."""
    buffer = create_string_buffer(point, len(point))
    return Chosen(c.CKM_ECDH1_DERIVE, EcdhParameters(c.CKD_NULL, 0, None, len(point), addressof(buffer)), buffer)
