"""Imported key material: how it is checked, and the id it gets.

Source: KMS Developer Guide, "Requirements for imported key material". Secret keys are their bytes. Private keys are
PKCS #8 (RFC 5958), DER, of exactly the key's spec; they are checked in full and kept in the one form in which this
library writes them, so that the same key is the same material however it was encoded.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Protocol, cast

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.crypto.envelope import KEY_LENGTH
from strongroom.crypto.key_encodings import PublicKey, load_private_key, pkcs8, spki
from strongroom.crypto.material_ids import id_of_content, id_of_mac, id_of_public_key, message_for_mac, recognized
from strongroom.crypto.software.hmac_key import HMAC_SPECS, HmacBackingKey, hmac_key_length
from strongroom.errors import IncorrectKeyMaterialException
from strongroom.keys.specs import KeySpec

_MAX_HMAC_KEY_LENGTH = 128
RSA_BITS = {KeySpec.RSA_2048: 2048, KeySpec.RSA_3072: 3072, KeySpec.RSA_4096: 4096}
_CURVES: dict[KeySpec, type[ec.EllipticCurve]] = {
    KeySpec.ECC_NIST_P256: ec.SECP256R1,
    KeySpec.ECC_NIST_P384: ec.SECP384R1,
    KeySpec.ECC_NIST_P521: ec.SECP521R1,
    KeySpec.ECC_SECG_P256K1: ec.SECP256K1,
}
PUBLIC_EXPONENTS = range(2**16 + 1, 2**256)
"""FIPS 186-5, A.1.1: an odd public exponent between 2^16 and 2^256. An even one has no inverse, so it does not load."""
_SEQUENCE = 0x30
_LONG_FORM = 0x80


class _Private(Protocol):
    def public_key(self) -> PublicKey: ...


def accepted_material(material: bytes, spec: KeySpec) -> bytes:
    """Return material in the form it is kept in; raises IncorrectKeyMaterialException unless it is of ``spec``."""
    lengths = secret_lengths(spec)
    if lengths is not None:
        if len(material) not in lengths:
            raise incorrect_material(spec)
        return material
    try:
        if not _is_pkcs8(material):
            raise incorrect_material(spec)
        return _canonical(material, load_private_key(material), spec)
    except (ValueError, TypeError, IndexError, UnsupportedAlgorithm, InternalError):
        # TypeError: the private key is encrypted. InternalError: OpenSSL fails in a way the library does not expect.
        raise incorrect_material(spec) from None


def material_id_of(material: bytes, spec: KeySpec, names: Sequence[str], known_ids: Collection[str] = ()) -> str:
    """Return the id of accepted material: the one of ``known_ids`` that is its own, or a new one (``material_ids``).

    ``names`` are those of its key, the one for a new id first.
    """

    def by_content(name: str) -> str:
        return id_of_content(material, name)

    def by_public_key(name: str) -> str:
        return id_of_public_key(spki(cast("_Private", load_private_key(material)).public_key()), name)

    def by_mac(name: str) -> str:
        return id_of_mac(HmacBackingKey(material, KeySpec.HMAC_256).mac(message_for_mac(name)))

    formulas: list[Callable[[], str]]
    if secret_lengths(spec) is None:
        formulas = [*(partial(by_public_key, name) for name in names), partial(by_content, names[-1])]
    else:
        formulas = [partial(formula, name) for name in names for formula in (by_content, by_mac)]
    found = recognized(formulas, known_ids)
    assert found is not None  # noqa: S101 - for the type checker
    return found


def secret_lengths(spec: KeySpec) -> range | None:
    """Return the lengths in bytes that secret keys of a spec may have; None for the specs of private keys."""
    if spec is KeySpec.SYMMETRIC_DEFAULT:
        return range(KEY_LENGTH, KEY_LENGTH + 1)
    return range(hmac_key_length(spec), _MAX_HMAC_KEY_LENGTH + 1) if spec in HMAC_SPECS else None


def _canonical(material: bytes, key: object, spec: KeySpec) -> bytes:
    """Return material as the library writes it. ``key`` is the key in it, not yet checked if it is RSA."""
    if isinstance(key, rsa.RSAPrivateKey):
        exponent = key.public_key().public_numbers().e
        # The size is checked first: checking the primes of a key four times as large takes seconds.
        if key.key_size == RSA_BITS.get(spec) and exponent in PUBLIC_EXPONENTS:
            return pkcs8(cast("rsa.RSAPrivateKey", serialization.load_der_private_key(material, None)))
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        curve = _CURVES.get(spec)
        if curve is not None and isinstance(key.curve, curve):
            # The public key is computed; the one in the file may be another key's.
            return pkcs8(ec.derive_private_key(key.private_numbers().private_value, curve()))
    elif isinstance(key, Ed25519PrivateKey) and spec is KeySpec.ECC_NIST_EDWARDS25519:
        return pkcs8(key)
    raise incorrect_material(spec)


def _is_pkcs8(der: bytes) -> bool:
    """Return whether this is PKCS #8. Older forms of private keys have no algorithm identifier after the version.

    SEQUENCE { INTEGER version, SEQUENCE algorithm, …: the library reads either form.
    """
    length_octets = der[1] - _LONG_FORM if der[1] > _LONG_FORM else 0
    version = 2 + length_octets
    return der[version + 3] == _SEQUENCE


def incorrect_material(spec: KeySpec) -> IncorrectKeyMaterialException:
    """Return the error for material that is not of a spec."""
    return IncorrectKeyMaterialException(f"The key material is not valid for KeySpec {spec}.")
