"""The kinds of keys that can be in a token, by spec. A token that lacks one is found out by doing: ``capabilities``."""

from collections.abc import Callable, Mapping

from strongroom.crypto.hsm.elliptic import CURVES, EllipticKind
from strongroom.crypto.hsm.key_kind import KeyKind
from strongroom.crypto.hsm.mac import MacKind
from strongroom.crypto.hsm.rsa import RsaKind
from strongroom.crypto.hsm.symmetric import SymmetricKind
from strongroom.crypto.software.hmac_key import HMAC_SPECS
from strongroom.keys.specs import KeySpec


def kinds_of_keys(nonces: Callable[[], bytes]) -> Mapping[KeySpec, KeyKind]:
    """Return the kinds of keys. ``nonces`` gives fresh bytes for each encryption: see ``software.aes``."""
    return {
        KeySpec.SYMMETRIC_DEFAULT: SymmetricKind(nonces),
        **{spec: MacKind(spec) for spec in sorted(HMAC_SPECS)},
        KeySpec.RSA_2048: RsaKind(2048),
        KeySpec.RSA_3072: RsaKind(3072),
        KeySpec.RSA_4096: RsaKind(4096),
        **{spec: EllipticKind(curve) for spec, curve in CURVES.items()},
    }
