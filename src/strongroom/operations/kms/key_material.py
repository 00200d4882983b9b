"""Key material of KMS keys: made in their key back ends for new and rotated keys, and destroyed there afterwards."""

import logging
from collections.abc import Iterable
from typing import NamedTuple

from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.material import MaterialBinding
from strongroom.entropy import Entropy
from strongroom.keys.arns import KeyLocator
from strongroom.keys.external_keys import external_material_id, external_token
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeySpec
from strongroom.snapshot.active_key import binding_of

_ID_LENGTH = 32

logger = logging.getLogger(__name__)


class OwnedToken(NamedTuple):
    """A key back end's token: the custom key store it is in (None: the default one), and what it is bound to."""

    store_id: str | None
    token: bytes
    owner: MaterialBinding


def generate_material(
    key_backends: KeyBackends, entropy: Entropy, key: KeyLocator, spec: KeySpec, store_id: str | None
) -> OwnedToken:
    """Make key material for a key in its key store; return the back end's token for it.

    The material's id (64 hex digits) is random rather than a digest of the material, because a back end that never
    releases material cannot compute one.
    """
    owner = MaterialBinding(
        account=key.account, region=key.region, key_id=key.key_id, material_id=entropy(_ID_LENGTH).hex(), spec=spec
    )
    return OwnedToken(store_id, key_backends.of_store(store_id).generate(owner), owner)


def generate_external_material(
    key_backends: KeyBackends, key: KeyLocator, spec: KeySpec, store_id: str, external_id: str
) -> OwnedToken:
    """Make the backing key that is used together with an external key; return the token of both.

    The material's id is a digest of the ids of store and external key; see ``keys.external_keys``.
    """
    owner = MaterialBinding(
        account=key.account,
        region=key.region,
        key_id=key.key_id,
        material_id=external_material_id(store_id, external_id),
        spec=spec,
    )
    token = external_token(store_id, external_id, key_backends.of_store(store_id).generate(owner))
    return OwnedToken(store_id, token, owner)


def removed(before: KmsKey, after: KmsKey | None) -> list[OwnedToken]:
    """Return the tokens that a change takes from a key; all of them if ``after`` is None, because the key is erased."""
    kept = {None} if after is None else {None, *(material.token for material in after.materials)}
    return [
        OwnedToken(before.custom_key_store_id, material.token, binding_of(before, material.material_id))
        for material in before.materials
        if material.token is not None and material.token not in kept
    ]


def destroy(key_backends: KeyBackends, tokens: Iterable[OwnedToken]) -> None:
    """Destroy the material behind tokens that no key has. A failure is logged, and the others are still destroyed.

    Call it only after the commit that took the tokens from their keys, or after a commit that failed for certain.
    """
    for each in tokens:
        try:
            key_backends.of_store(each.store_id).destroy(each.token, each.owner)
        except Exception:
            logger.exception("could not destroy unused key material: %s", described(each))


def described(token: OwnedToken) -> str:
    """Return which material a token is for, as log lines say it."""
    owner, store = token.owner, token.store_id or "default"
    return (
        f"key material {owner.material_id} of key {owner.key_id} "
        f"(account {owner.account}, Region {owner.region}, key store {store})"
    )
