"""Private keys in a token, made there, or moved there from this process."""

from functools import cache
from typing import Any

from full_depth import FullDepth
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.software.private_keys import PRIVATE_KEYS
from strongroom.keys.specs import KeySpec


def owner_of(spec: KeySpec) -> MaterialBinding:
    """Return what a key of a spec is bound to."""
    return MaterialBinding("111122223333", "us-east-1", "1234abcd-12ab-34cd-56ef-1234567890ab", "ab" * 32, spec)


def made(depth: FullDepth, spec: KeySpec) -> Any:
    """Have the token make a key; return it, ready to use."""
    return depth.backend.load(depth.backend.generate(owner_of(spec)), owner_of(spec))


def moved(depth: FullDepth, spec: KeySpec, material: bytes) -> Any:
    """Move a private key (PKCS #8, DER) into the token, as a rotation does; return it, ready to use."""
    token = depth.software._wrap(material, owner_of(spec))
    return depth.backend.load(depth.backend.rewrap(token, owner_of(spec)), owner_of(spec))


def in_software(spec: KeySpec, material: bytes) -> Any:
    """Return the same key in this process."""
    return PRIVATE_KEYS[spec][1](material)


@cache
def new_material(spec: KeySpec) -> bytes:
    """Return a private key, PKCS #8, DER: the same one each time."""
    return PRIVATE_KEYS[spec][0]()
