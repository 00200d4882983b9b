"""What a server that is set to approved algorithms only (the setting ``fips``) refuses, and why.

Approved are the algorithms of NIST's FIPS publications and of the Special Publications that they name (SP 800-140C and
-140D list them). Of what AWS KMS offers, one curve is not among them. Two more algorithms are, but no module with a
certificate can be put under them here, because other libraries than OpenSSL compute them. ``docs/FIPS.md`` has the
whole table.
"""

from typing import TypeAlias

from strongroom.errors import UnsupportedOperationException
from strongroom.keys.algorithms import SigningAlgorithm
from strongroom.keys.specs import KeySpec

Refusable: TypeAlias = KeySpec | SigningAlgorithm

REFUSED: dict[Refusable, str] = {
    KeySpec.ECC_SECG_P256K1: "the curve secp256k1 is approved for blockchains alone (NIST SP 800-186, 3.2)",
    KeySpec.ML_KEM_512: "it is computed by another library than OpenSSL, for which there is no validated module",
    SigningAlgorithm.ED25519_PH_SHA_512: "it is computed by another library than OpenSSL, for which there is no "
    "validated module",
}
"""Key specs and algorithms that are refused, with the reason."""


def require_approved(used: Refusable) -> None:
    """Refuse a key spec or an algorithm that is not approved, by name; raises UnsupportedOperationException."""
    reason = REFUSED.get(used)
    if reason is not None:
        raise UnsupportedOperationException(
            f"{used} is refused, because this server uses approved algorithms only (its setting fips): {reason}."
        )
