"""Builds KMS keys for tests."""

from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KeyMaterial, KeyMaterialState, KmsKey, new_key
from strongroom.keys.specs import KeySpec, KeyUsage, Origin

NOW = 1_790_000_000.0


def locator(number: int) -> KeyLocator:
    """Return the locator of key ``number``."""
    return KeyLocator("111122223333", "us-east-1", f"{number:08}-12ab-34cd-56ef-1234567890ab")


def material(number: int) -> KeyMaterial:
    """Return current key material number ``number``."""
    return KeyMaterial(f"{number:064x}", b"token %d" % number, KeyMaterialState.CURRENT, NOW)


def make_key(number: int = 1, *, origin: Origin = Origin.AWS_KMS, tags: tuple[tuple[str, str], ...] = ()) -> KmsKey:
    """Return a symmetric key, enabled if it has material."""
    return new_key(
        locator(number),
        spec=KeySpec.SYMMETRIC_DEFAULT,
        usage=KeyUsage.ENCRYPT_DECRYPT,
        origin=origin,
        description="",
        policy="{}",
        multi_region=False,
        tags=tags,
        material=material(number) if origin is Origin.AWS_KMS else None,
        now=NOW,
    )
