"""Private keys by spec: how each is made, and the class that uses it."""

from collections.abc import Callable
from functools import partial

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA65PrivateKey, MLDSA87PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey

from strongroom.crypto.backing_keys import PrivateKey
from strongroom.crypto.data_key_pairs import KeyPair
from strongroom.crypto.software.edwards import EdwardsBackingKey, generate_edwards
from strongroom.crypto.software.elliptic import EllipticBackingKey, generate_elliptic
from strongroom.crypto.software.ml_dsa import MlDsaBackingKey, generate_ml_dsa
from strongroom.crypto.software.ml_kem import MlKem512BackingKey, MlKemBackingKey, generate_ml_kem, generate_ml_kem_512
from strongroom.crypto.software.rsa import RsaBackingKey, generate_rsa
from strongroom.keys.approved_algorithms import require_approved
from strongroom.keys.specs import KeySpec

PRIVATE_KEYS: dict[KeySpec, tuple[Callable[[], bytes], Callable[[bytes], PrivateKey]]] = {
    KeySpec.RSA_2048: (partial(generate_rsa, 2048), RsaBackingKey),
    KeySpec.RSA_3072: (partial(generate_rsa, 3072), RsaBackingKey),
    KeySpec.RSA_4096: (partial(generate_rsa, 4096), RsaBackingKey),
    KeySpec.ECC_NIST_P256: (partial(generate_elliptic, ec.SECP256R1()), EllipticBackingKey),
    KeySpec.ECC_NIST_P384: (partial(generate_elliptic, ec.SECP384R1()), EllipticBackingKey),
    KeySpec.ECC_NIST_P521: (partial(generate_elliptic, ec.SECP521R1()), EllipticBackingKey),
    KeySpec.ECC_SECG_P256K1: (partial(generate_elliptic, ec.SECP256K1()), EllipticBackingKey),
    KeySpec.ECC_NIST_EDWARDS25519: (generate_edwards, EdwardsBackingKey),
    KeySpec.ML_DSA_44: (partial(generate_ml_dsa, MLDSA44PrivateKey), MlDsaBackingKey),
    KeySpec.ML_DSA_65: (partial(generate_ml_dsa, MLDSA65PrivateKey), MlDsaBackingKey),
    KeySpec.ML_DSA_87: (partial(generate_ml_dsa, MLDSA87PrivateKey), MlDsaBackingKey),
    KeySpec.ML_KEM_512: (generate_ml_kem_512, MlKem512BackingKey),
    KeySpec.ML_KEM_768: (partial(generate_ml_kem, MLKEM768PrivateKey), MlKemBackingKey),
    KeySpec.ML_KEM_1024: (partial(generate_ml_kem, MLKEM1024PrivateKey), MlKemBackingKey),
}
"""Spec → a function that returns a new private key (PKCS #8, DER), and a class that loads one.

The cryptographic libraries draw their randomness from the operating system themselves.
"""


class SoftwareDataKeyPairs:
    """Makes data key pairs in this process."""

    def __init__(self, *, approved_only: bool = False) -> None:
        """Make pairs of any spec; with ``approved_only``, refuse what ``keys.approved_algorithms`` has."""
        self._approved_only = approved_only

    def require_spec(self, spec: KeySpec) -> None:
        """Refuse a spec that is not approved, if others may not be used; raises UnsupportedOperationException."""
        if self._approved_only:
            require_approved(spec)

    def generate(self, spec: KeySpec) -> KeyPair:
        """Make a data key pair and keep nothing of it.

        Raises LookupError for a spec that has no private key, UnsupportedOperationException for one that is refused.
        """
        self.require_spec(spec)
        generate, use = PRIVATE_KEYS[spec]
        private_key = generate()
        return KeyPair(private_key, use(private_key).public_key())
