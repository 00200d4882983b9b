"""Imports key material from a file of the operator, by the same way as a caller of the API."""

from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.material import MaterialOwner, WrappedMaterial
from strongroom.crypto.software.unwrapping import wrap_material
from strongroom.entropy import Entropy
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.wrapping import WrappingAlgorithm, WrappingKeySpec, can_wrap
from strongroom.operations.kms.key_material import OwnedToken


def imported_token(key_backends: KeyBackends, key: KmsKey, material: bytes, entropy: Entropy) -> OwnedToken:
    """Import material of Origin EXTERNAL for a key, and return its token.

    ``material`` is the bytes of a secret key, or a private key as PKCS #8, DER. Raises IncorrectKeyMaterialException
    if it is not of the key's spec, and what the key back end raises.
    """
    owner = MaterialOwner(key.account, key.region, key.key_id, key.spec)
    algorithm = WrappingAlgorithm.RSAES_OAEP_SHA_256
    if can_wrap(WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_256, key.spec):
        algorithm = WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_256
    backend = key_backends.of(key)
    wrapping_key = backend.wrapping_key(WrappingKeySpec.RSA_2048, algorithm, owner)
    encrypted = wrap_material(wrapping_key.public_key, algorithm, material, entropy)
    known = {each.material_id for each in key.materials}
    made = backend.import_material(WrappedMaterial(wrapping_key.token, algorithm, encrypted), owner, known)
    return OwnedToken(key.custom_key_store_id, made.token, owner.binding(made.material_id))
