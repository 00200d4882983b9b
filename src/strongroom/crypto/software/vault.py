"""The default vault: key material generated and used in this process, kept in the store wrapped by domain keys."""

from collections.abc import Callable
from functools import partial

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA65PrivateKey, MLDSA87PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey

from strongroom.crypto.binding import binding
from strongroom.crypto.domain_keys import DomainKeys
from strongroom.crypto.envelope import KEY_LENGTH
from strongroom.crypto.protocol import (
    BackingKey,
    ImportedMaterial,
    KeyPair,
    MaterialBinding,
    MaterialOwner,
    PrivateKey,
    UnsealError,
    WrappedMaterial,
    WrappingKey,
)
from strongroom.crypto.software.aes import NONCES_LENGTH, AesBackingKey
from strongroom.crypto.software.edwards import EdwardsBackingKey, generate_edwards
from strongroom.crypto.software.elliptic import EllipticBackingKey, generate_elliptic
from strongroom.crypto.software.hmac_key import HMAC_SPECS, HmacBackingKey, hmac_key_length
from strongroom.crypto.software.imported_material import accepted_material, material_id_of
from strongroom.crypto.software.ml_dsa import MlDsaBackingKey, generate_ml_dsa
from strongroom.crypto.software.ml_kem import MlKem512BackingKey, MlKemBackingKey, generate_ml_kem, generate_ml_kem_512
from strongroom.crypto.software.rsa import RsaBackingKey, generate_rsa
from strongroom.crypto.software.unwrapping import WRAPPING_KEY_BITS, unwrap_material
from strongroom.entropy import Batch, Entropy
from strongroom.keys.arns import MULTI_REGION_PREFIX
from strongroom.keys.specs import KeySpec
from strongroom.keys.wrapping import WrappingKeySpec

IAM_SCOPE = "iam"
"""The domain key scope of access key secrets."""

_ASYMMETRIC: dict[KeySpec, tuple[Callable[[], bytes], Callable[[bytes], PrivateKey]]] = {
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
"""How a private key is made (the cryptographic libraries draw from the kernel themselves), and what uses it."""


class SoftwareVault:
    """Makes and loads backing keys with the domain keys of this process."""

    def __init__(self, domain_keys: DomainKeys, entropy: Entropy) -> None:
        self._domain_keys = domain_keys
        self._entropy = entropy
        self._nonces = Batch(entropy, NONCES_LENGTH)

    def generate(self, owner: MaterialBinding) -> bytes:
        """Make new key material and return it wrapped."""
        return self._wrap(self._new(owner.spec), owner)

    def wrapping_key(self, spec: WrappingKeySpec, owner: MaterialOwner) -> WrappingKey:
        """Make a wrapping key pair, its private key wrapped under the Region's domain key."""
        private_key = generate_rsa(WRAPPING_KEY_BITS[spec])
        token = self._domain_keys.wrap(owner.region, private_key, _wrapping_key_fields(owner))
        return WrappingKey(token, RsaBackingKey(private_key).public_key())

    def import_material(self, wrapped: WrappedMaterial, owner: MaterialOwner) -> ImportedMaterial:
        """Unwrap key material, check it and return it wrapped; raises as ``protocol.Vault`` says."""
        wrapping_key = self._domain_keys.unwrap(owner.region, wrapped.wrapping_token, _wrapping_key_fields(owner))
        material = accepted_material(unwrap_material(wrapping_key, wrapped.algorithm, wrapped.encrypted), owner.spec)
        material_id = material_id_of(material, owner.key_id)
        return ImportedMaterial(material_id, self._wrap(material, owner.binding(material_id)))

    def load(self, token: bytes, owner: MaterialBinding) -> BackingKey:
        """Unwrap key material; raises UnsealError if the token was not made for ``owner``."""
        return self._use(self._unwrap(token, owner), owner.spec)

    def replicate(self, token: bytes, owner: MaterialBinding, region: str) -> bytes:
        """Wrap key material again, under the domain key of another Region."""
        if not owner.key_id.startswith(MULTI_REGION_PREFIX):
            raise UnsealError("the material of a single-Region key stays in its Region")
        return self._wrap(self._unwrap(token, owner), msgspec.structs.replace(owner, region=region))

    def destroy(self, token: bytes, owner: MaterialBinding) -> None:
        """Do nothing: a wrapped key exists only in its token, which the store erases."""

    def wrap_secret(self, secret: bytes, bound_to: bytes) -> bytes:
        """Return a small secret wrapped under the ``iam`` domain key."""
        return self._domain_keys.wrap(IAM_SCOPE, secret, bound_to)

    def unwrap_secret(self, wrapped: bytes, bound_to: bytes) -> bytes:
        """Return the secret; raises UnsealError if it was not wrapped here for ``bound_to``."""
        return self._domain_keys.unwrap(IAM_SCOPE, wrapped, bound_to)

    def random(self, length: int) -> bytes:
        """Return ``length`` bytes from the operating system's generator."""
        return self._entropy(length)

    def key_pair(self, spec: KeySpec) -> KeyPair:
        """Make a data key pair."""
        generate, use = _ASYMMETRIC[spec]
        private_key = generate()
        return KeyPair(private_key, use(private_key).public_key())

    def _new(self, spec: KeySpec) -> bytes:
        if spec in _ASYMMETRIC:
            return _ASYMMETRIC[spec][0]()
        return self._entropy(KEY_LENGTH if spec is KeySpec.SYMMETRIC_DEFAULT else hmac_key_length(spec))

    def _use(self, material: bytes, spec: KeySpec) -> BackingKey:
        if spec in _ASYMMETRIC:
            return _ASYMMETRIC[spec][1](material)
        return HmacBackingKey(material, spec) if spec in HMAC_SPECS else AesBackingKey(material, self._nonces)

    def _wrap(self, material: bytes, owner: MaterialBinding) -> bytes:
        return self._domain_keys.wrap(owner.region, material, _fields(owner))

    def _unwrap(self, token: bytes, owner: MaterialBinding) -> bytes:
        return self._domain_keys.unwrap(owner.region, token, _fields(owner))


def _fields(bound_to: MaterialBinding) -> bytes:
    return binding(
        "key-material", bound_to.account, bound_to.region, bound_to.key_id, bound_to.material_id, bound_to.spec
    )


def _wrapping_key_fields(owner: MaterialOwner) -> bytes:
    return binding("wrapping-key", owner.account, owner.region, owner.key_id, owner.spec)
