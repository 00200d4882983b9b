"""Key material that protects nothing, with which it is tried whether a token can import a spec."""

from typing import cast

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.crypto.hsm.elliptic import CURVES
from strongroom.crypto.key_encodings import load_private_key, spki
from strongroom.crypto.software.elliptic import generate_elliptic
from strongroom.crypto.software.imported_material import RSA_BITS, secret_lengths
from strongroom.crypto.software.rsa import generate_rsa
from strongroom.keys.specs import KeySpec


class Trial(msgspec.Struct, frozen=True):
    """Material of a spec, its public key (SubjectPublicKeyInfo, DER), and secret material one byte too short."""

    spec: KeySpec
    material: bytes
    public_key: bytes = b""
    too_short: bytes | None = None


def trial_of(spec: KeySpec) -> Trial:
    """Return material for the trial of a spec. RSA_2048 stands for all sizes of RSA."""
    lengths = secret_lengths(spec)
    if lengths is not None:
        return Trial(spec, bytes(range(1, lengths.start + 1)), too_short=bytes(range(1, lengths.start)))
    if spec in RSA_BITS:
        spec = KeySpec.RSA_2048
        material = generate_rsa(RSA_BITS[spec])
    else:
        material = generate_elliptic(CURVES[spec].curve)
    private = cast("ec.EllipticCurvePrivateKey", load_private_key(material))
    return Trial(spec, material, spki(private.public_key()))
