"""What is known of key material that a token has unwrapped: whether it is of a spec, its public key, and its id.

The rules are those of ``software.imported_material``, but the material is not here: it is examined by attributes, and
by using it. A token computes whether a private key fits its public key; the parts that it does not use, such as the
private exponent beside the primes, it may leave unexamined.
"""

import hashlib
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import cast

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from strongroom.crypto.hsm.elliptic import CURVES, Curve, HsmEllipticKey
from strongroom.crypto.hsm.key_kind import KeyKind
from strongroom.crypto.hsm.private_keys import HeldKey
from strongroom.crypto.hsm.wrapping_pairs import Sent, UnderKey, held, told_length
from strongroom.crypto.key_encodings import spki
from strongroom.crypto.material_ids import content_prefix, id_of_mac, id_of_public_key, message_for_mac, recognized
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.cryptoki import Attributes
from strongroom.crypto.pkcs11.return_codes import REFUSALS, CryptokiError
from strongroom.crypto.software.imported_material import PUBLIC_EXPONENTS, RSA_BITS, incorrect_material
from strongroom.keys.specs import KeySpec

_LONGEST = 4096
"""Bytes of the longest attribute that a key of another spec may have."""
_SIGNS = (b"\x02", b"\x03")
"""What precedes the x-coordinate of a compressed point: whether y is even or odd (SEC 1, 2.3.3)."""


def template_for(kind: KeyKind, spec: KeySpec) -> Attributes:
    """Return the attributes that material of a spec is unwrapped with, to be examined and wrapped again."""
    template = kind.template(extractable=True)
    return {**template, c.CKA_DERIVE: True} if spec in CURVES else template


def public_key_of(calls: Calls, kind: KeyKind, spec: KeySpec, handle: int) -> bytes:
    """Return the SubjectPublicKeyInfo of an unwrapped private key, DER, of which it is the private half.

    Raises IncorrectKeyMaterialException for a key of another spec, and CryptokiError, also for a key that is none.
    """
    curve = CURVES.get(spec)
    if curve is None:
        candidates: tuple[bytes, ...] = (_rsa_public_key(calls, spec, handle),)
    elif calls.attribute(handle, c.CKA_EC_PARAMS, _LONGEST) == curve.identifier:
        candidates = _elliptic_public_keys(calls, curve, handle)
    else:
        raise incorrect_material(spec)
    for each in candidates:
        if kind.is_same(calls, handle, handle, each):
            return each
    raise incorrect_material(spec)


def _rsa_public_key(calls: Calls, spec: KeySpec, handle: int) -> bytes:
    modulus, exponent = (
        int.from_bytes(calls.attribute(handle, each, _LONGEST)) for each in (c.CKA_MODULUS, c.CKA_PUBLIC_EXPONENT)
    )
    if modulus.bit_length() != RSA_BITS[spec] or exponent not in PUBLIC_EXPONENTS:
        raise incorrect_material(spec)
    try:
        return spki(rsa.RSAPublicNumbers(exponent, modulus).public_key())
    except ValueError:
        raise incorrect_material(spec) from None


def _elliptic_public_keys(calls: Calls, curve: Curve, handle: int) -> tuple[bytes, ...]:
    """Return the two public keys, of which one belongs to a private key.

    A token does not tell the point of a private key that it has unwrapped. Key agreement with the generator of the
    group gives its x-coordinate.
    """
    generator = spki(ec.derive_private_key(1, curve.curve).public_key())
    x = HsmEllipticKey(HeldKey(calls, handle), generator).agree(generator)
    try:
        points = [ec.EllipticCurvePublicKey.from_encoded_point(curve.curve, sign + x) for sign in _SIGNS]
    except ValueError:
        raise CryptokiError("C_DeriveKey", c.CKR_FUNCTION_FAILED) from None
    return tuple(spki(each) for each in points)


def length_of(calls: Calls, under: UnderKey, attributes: Attributes, handle: int) -> int | None:
    """Return the length of an unwrapped secret in bytes; None if it cannot be found out. Raises CryptokiError.

    SoftHSM 2.6.1 does not tell the length, and pads what it wraps with zeros up to a multiple of 8. So there the
    length is that of what comes back, without as many zeros as make the digests of both the same.
    """
    told = told_length(calls, handle)
    if told:
        return told
    try:
        if calls.digest_key(b"", handle) == hashlib.sha256(b"").digest():
            return 0
        wrapped = calls.wrap_key(under.handle, handle, under.mechanism)
        with held(calls, calls.unwrap_key(under.handle, wrapped, attributes, under.mechanism)) as copy:
            padded = calls.digest_key(b"", copy)
        lengths = (zeros for zeros in range(8) if calls.digest_key(b"", handle, bytes(zeros)) == padded)
        zeros = next(lengths, None)
    except CryptokiError as error:
        if error.kind not in REFUSALS:
            raise
        return None
    return None if zeros is None else len(wrapped) - 8 - zeros


def id_of_secret(calls: Calls, handle: int, names: Sequence[str], known_ids: Collection[str]) -> str | None:
    """Return the id of an unwrapped secret; None if the token can compute none. Raises CryptokiError.

    ``names`` are those of its key, the one for a new id first.
    """

    def by_content(name: str) -> str:
        return calls.digest_key(content_prefix(name), handle).hex()

    def by_mac(name: str) -> str:
        return id_of_mac(calls.mac(handle, message_for_mac(name)))

    formulas = (partial(formula, name) for name in names for formula in (by_content, by_mac))
    return recognized(map(_if_possible, formulas), known_ids)


def id_of_private_key(public_key: bytes, sent: Sent, names: Sequence[str], known_ids: Collection[str]) -> str:
    """Return the id of an unwrapped private key; raises CryptokiError. ``names`` are as for ``id_of_secret``.

    Earlier releases took PKCS #8, which is what is sent if it is encoded as OpenSSL does. Many tokens do not hash
    something that long.
    """
    by_public_key = (partial(id_of_public_key, public_key, name) for name in names)
    by_content = _if_possible(lambda: sent.digest(content_prefix(names[-1])).hex())
    return cast("str", recognized((*by_public_key, by_content), known_ids))


def _if_possible(formula: Callable[[], str]) -> Callable[[], str | None]:
    """Return a formula that gives None where a token cannot compute it."""

    def found() -> str | None:
        try:
            return formula()
        except CryptokiError as error:
            if error.kind not in REFUSALS:
                raise
            return None

    return found
