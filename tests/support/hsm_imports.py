"""Imports into a hardware token, as the owner of key material does them, without code of the service."""

from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from full_depth import FullDepth
from key_import import CURVES, entropy, wrap
from strongroom.crypto.material import ImportedMaterial, MaterialOwner, WrappedMaterial, WrappingKey
from strongroom.keys.specs import KeySpec
from strongroom.keys.wrapping import WrappingAlgorithm, WrappingKeySpec

OAEP_SHA_1, OAEP_SHA_256 = WrappingAlgorithm.RSAES_OAEP_SHA_1, WrappingAlgorithm.RSAES_OAEP_SHA_256
KEY_WRAP_SHA_1, KEY_WRAP_SHA_256 = WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_1, WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_256
SECRET_LENGTHS = {
    KeySpec.SYMMETRIC_DEFAULT: 32,
    KeySpec.HMAC_224: 28,
    KeySpec.HMAC_256: 32,
    KeySpec.HMAC_384: 48,
    KeySpec.HMAC_512: 64,
}
ELLIPTIC = [KeySpec(each) for each in CURVES]

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def importer(spec: KeySpec, **changed: str) -> MaterialOwner:
    """Return a key that material is imported for."""
    fields = {"account": "111122223333", "region": "us-east-1", "key_id": "1234abcd-12ab-34cd-56ef-1234567890ab"}
    return MaterialOwner(**{**fields, **changed}, spec=spec)


@cache
def private_key(spec: KeySpec) -> PrivateKey:
    """Return a private key of a spec: the same one each time."""
    if spec.startswith("RSA"):
        return rsa.generate_private_key(65537, int(spec.removeprefix("RSA_")))
    return ec.generate_private_key(CURVES[spec])


def pkcs8(key: PrivateKey) -> bytes:
    """Return a private key as OpenSSL writes it, DER."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def spki(key: PrivateKey) -> bytes:
    """Return the public key as SubjectPublicKeyInfo, DER."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def material_of(spec: KeySpec) -> bytes:
    """Return key material of a spec."""
    return entropy(SECRET_LENGTHS[spec]) if spec in SECRET_LENGTHS else pkcs8(private_key(spec))


class Importer:
    """A token, and wrapping keys that were made in it before, because to make one takes a part of a second."""

    def __init__(self, depth: FullDepth) -> None:
        self.depth = depth
        self._pairs: dict[tuple[WrappingAlgorithm, MaterialOwner, WrappingKeySpec], WrappingKey] = {}

    def pair(
        self,
        algorithm: WrappingAlgorithm,
        owner: MaterialOwner,
        spec: WrappingKeySpec = WrappingKeySpec.RSA_2048,
    ) -> WrappingKey:
        """Return a wrapping key; raises UnsupportedOperationException."""
        # What is refused is not kept, so it is asked for again.
        place = (algorithm, owner, spec)
        if place not in self._pairs:
            self._pairs[place] = self.depth.backend.wrapping_key(spec, algorithm, owner)
        return self._pairs[place]

    def bring(
        self, algorithm: WrappingAlgorithm, owner: MaterialOwner, material: bytes, *known_ids: str
    ) -> ImportedMaterial:
        """Import material."""
        pair = self.pair(algorithm, owner, wrapping_spec_for(owner.spec, algorithm))
        return self.send(algorithm, owner, pair, wrap(pair.public_key, algorithm, material), *known_ids)

    def send(
        self,
        algorithm: WrappingAlgorithm,
        owner: MaterialOwner,
        pair: WrappingKey,
        encrypted: bytes,
        *known_ids: str,
    ) -> ImportedMaterial:
        """Import what is encrypted already."""
        return self.depth.backend.import_material(WrappedMaterial(pair.token, algorithm, encrypted), owner, known_ids)


def wrapping_spec_for(spec: KeySpec, algorithm: WrappingAlgorithm) -> WrappingKeySpec:
    """Return the smallest wrapping key that takes the material."""
    too_large = spec is KeySpec.ECC_NIST_P521 and algorithm in {OAEP_SHA_1, OAEP_SHA_256}
    return WrappingKeySpec.RSA_3072 if too_large else WrappingKeySpec.RSA_2048
