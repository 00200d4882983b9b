"""The software key back end: key material made and used in this process, kept in the store wrapped by domain keys.

A domain key may be in a hardware token (root depth). Then to make or load key material takes a call of the token, and
using it takes none.
"""

from collections.abc import Collection

import msgspec

from strongroom.crypto.backing_keys import BackingKey
from strongroom.crypto.binding import binding
from strongroom.crypto.domain_keys import DomainKeys
from strongroom.crypto.envelope import KEY_LENGTH
from strongroom.crypto.material import ImportedMaterial, MaterialBinding, MaterialOwner, WrappedMaterial, WrappingKey
from strongroom.crypto.material_ids import names_of
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.software.aes import NONCES_LENGTH, AesBackingKey
from strongroom.crypto.software.edwards import ApprovedEdwardsBackingKey
from strongroom.crypto.software.hmac_key import HMAC_SPECS, HmacBackingKey, hmac_key_length
from strongroom.crypto.software.imported_material import accepted_material, material_id_of
from strongroom.crypto.software.private_keys import PRIVATE_KEYS
from strongroom.crypto.software.rsa import RsaBackingKey, generate_rsa
from strongroom.crypto.software.unwrapping import unwrap_material
from strongroom.entropy import Batch, Entropy
from strongroom.keys.approved_algorithms import require_approved
from strongroom.keys.arns import MULTI_REGION_PREFIX
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.keys.wrapping import WRAPPING_KEY_BITS, WrappingAlgorithm, WrappingKeySpec


class SoftwareKeyBackend:
    """Makes and loads backing keys; a token is the key material, wrapped under its Region's domain key."""

    blocks_when_loaded = False

    def __init__(self, domain_keys: DomainKeys, entropy: Entropy, *, approved_only: bool = False) -> None:
        """Wrap with ``domain_keys``. With ``approved_only``, refuse what ``keys.approved_algorithms`` has."""
        self._approved_only = approved_only
        self._domain_keys = domain_keys
        self._entropy = entropy
        self._nonces = Batch(entropy, NONCES_LENGTH)

    @property
    def blocks(self) -> bool:
        """Whether a domain key is in a token."""
        return bool(self._domain_keys.in_token)

    keeps_material = False

    def require_spec(self, spec: KeySpec, usage: KeyUsage, region: str) -> None:  # noqa: ARG002 - see KeyBackend
        """Refuse a spec that is not approved, if others may not be used; raises UnsupportedOperationException."""
        self.require_approved(spec)

    def require_approved(self, spec: KeySpec) -> None:
        """Do so whatever the usage."""
        if self._approved_only:
            require_approved(spec)

    def token_for(self, owner: MaterialBinding) -> None:
        """Return None: the token contains the material."""

    def generate(self, owner: MaterialBinding) -> bytes:
        """Make new key material and return it wrapped."""
        self.require_approved(owner.spec)
        return self._wrap(self._new(owner.spec), owner)

    def load(self, token: bytes, owner: MaterialBinding) -> BackingKey:
        """Unwrap key material; raises UnsealError if the token was not made for ``owner``."""
        self.require_approved(owner.spec)
        return self._use(self._unwrap(token, owner), owner.spec)

    def destroy(self, token: bytes, owner: MaterialBinding) -> None:
        """Do nothing: the material exists only in the token, which the store erases."""

    def replicate(self, token: bytes, owner: MaterialBinding, region: str) -> bytes:
        """Wrap the same key material under the domain key of another Region; raises as ``KeyBackend`` says."""
        if not owner.key_id.startswith(MULTI_REGION_PREFIX):
            raise UnsealError("the material of a single-Region key stays in its Region")
        return self._wrap(self._unwrap(token, owner), msgspec.structs.replace(owner, region=region))

    def rewrap(self, token: bytes, owner: MaterialBinding) -> bytes:
        """Wrap the same key material under the newest domain key of its Region; raises as ``KeyBackend`` says."""
        return self._wrap(self._unwrap(token, owner), owner)

    def material(self, token: bytes, owner: MaterialBinding) -> bytes:
        """Return key material in the form it is kept in, for a move into a hardware token; raises UnsealError."""
        return self._unwrap(token, owner)

    def wrapping_key(
        self,
        spec: WrappingKeySpec,
        algorithm: WrappingAlgorithm,  # noqa: ARG002 - it has all of them
        owner: MaterialOwner,
    ) -> WrappingKey:
        """Make a wrapping key pair, its private key wrapped under the Region's domain key."""
        self.require_approved(owner.spec)
        private_key = generate_rsa(WRAPPING_KEY_BITS[spec])
        token = self._domain_keys.wrap(owner.region, private_key, _wrapping_key_fields(owner))
        return WrappingKey(token, RsaBackingKey(private_key).public_key())

    def import_material(
        self, wrapped: WrappedMaterial, owner: MaterialOwner, known_ids: Collection[str] = ()
    ) -> ImportedMaterial:
        """Unwrap key material, check it and return it wrapped; raises as ``KeyBackend`` says."""
        self.require_approved(owner.spec)
        # A domain key that another process has destroyed opens nothing, even if this one has not dropped it yet.
        self._domain_keys.take_over_changes()
        wrapping_key = self._domain_keys.unwrap(
            owner.region, wrapped.wrapping_token, _wrapping_key_fields(owner), stored=False
        )
        return self.keep(unwrap_material(wrapping_key, wrapped.algorithm, wrapped.encrypted), owner, known_ids)

    def keep(self, material: bytes, owner: MaterialOwner, known_ids: Collection[str] = ()) -> ImportedMaterial:
        """Check key material that is in this process, and return it wrapped.

        ``known_ids`` are as for ``import_material``. Raises IncorrectKeyMaterialException when the material is not of
        the owner's spec, and UnsupportedOperationException for a spec that is refused.
        """
        self.require_approved(owner.spec)
        kept = accepted_material(material, owner.spec)
        material_id = material_id_of(kept, owner.spec, names_of(owner), known_ids)
        return ImportedMaterial(material_id, self._wrap(kept, owner.binding(material_id)))

    def _new(self, spec: KeySpec) -> bytes:
        if spec in PRIVATE_KEYS:
            return PRIVATE_KEYS[spec][0]()
        return self._entropy(KEY_LENGTH if spec is KeySpec.SYMMETRIC_DEFAULT else hmac_key_length(spec))

    def _use(self, material: bytes, spec: KeySpec) -> BackingKey:
        if spec is KeySpec.ECC_NIST_EDWARDS25519 and self._approved_only:
            return ApprovedEdwardsBackingKey(material)
        if spec in PRIVATE_KEYS:
            return PRIVATE_KEYS[spec][1](material)
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
