"""Key material of KMS keys: made in their key back ends for new and rotated keys, and destroyed there afterwards."""

import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.seal import UnsealError
from strongroom.entropy import Entropy
from strongroom.errors import KmsError, KMSInternalException
from strongroom.keys.arns import KeyLocator
from strongroom.keys.external_keys import external_material_id, external_token
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeySpec, Origin
from strongroom.snapshot.active_key import binding_of
from strongroom.store.protocol import Store, Transaction
from strongroom.store.subjects.destructions import ErasedMaterial

_ID_LENGTH = 32

logger = logging.getLogger(__name__)


class OwnedToken(NamedTuple):
    """A key back end's token: the custom key store it is in (None: the default one), and what it is bound to.

    ``external`` tells whether that is an external key store.
    """

    store_id: str | None
    token: bytes
    owner: MaterialBinding
    external: bool = False


def generate_material(
    key_backends: KeyBackends,
    entropy: Entropy,
    key: KeyLocator,
    spec: KeySpec,
    store_id: str | None,
    announce: Callable[[OwnedToken], None] | None = None,
) -> OwnedToken:
    """Make key material for a key in its key store; return the back end's token for it.

    The material's id (64 hex digits) is random rather than a digest of the material, because a back end that never
    releases material cannot compute one. ``announce`` is called before the material is made, if the back end knows its
    token by then. Raises KMSInternalException if the Region has no domain key.
    """
    owner = MaterialBinding(
        account=key.account, region=key.region, key_id=key.key_id, material_id=entropy(_ID_LENGTH).hex(), spec=spec
    )
    backend = key_backends.of_store(store_id)
    if announce is not None and (known := backend.token_for(owner)) is not None:
        announce(OwnedToken(store_id, known, owner))
    try:
        token = backend.generate(owner)
    except UnsealError as error:
        # The table of the domain keys was emptied beneath this process.
        raise KMSInternalException(f"No key material can be made in {key.region}: there is {error}.") from None
    return OwnedToken(store_id, token, owner)


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
    token = external_token(store_id, external_id, key_backends.of_store(store_id, external=True).generate(owner))
    return OwnedToken(store_id, token, owner, external=True)


def removed(before: KmsKey, after: KmsKey | None) -> list[OwnedToken]:
    """Return the tokens that a change takes from a key; all of them if ``after`` is None, because the key is erased."""
    kept = {None} if after is None else {None, *(material.token for material in after.materials)}
    return [
        OwnedToken(
            before.custom_key_store_id,
            material.token,
            binding_of(before, material.material_id),
            external=before.origin is Origin.EXTERNAL_KEY_STORE,
        )
        for material in before.materials
        if material.token is not None and material.token not in kept
    ]


def erased_material(key_backends: KeyBackends, tokens: Iterable[OwnedToken]) -> list[ErasedMaterial]:
    """Return what is to be destroyed of material that is erased: that which its back end keeps otherwise.

    The transaction that erases it notes that, so that it is not forgotten when the process ends before it is done.
    """
    return [
        ErasedMaterial(each.store_id, each.token, each.owner)
        for each in tokens
        if key_backends.keeps_material(each.store_id, external=each.external)
    ]


def destroy_material(key_backends: KeyBackends, erased: ErasedMaterial) -> None:
    """Destroy material that a commit has erased; raises KmsError if its back end cannot be reached."""
    key_backends.of_store(erased.store_id).destroy(erased.token, erased.owner)


def destroy_erased(store: Store, key_backends: KeyBackends, erased: Iterable[ErasedMaterial]) -> None:
    """Destroy material that was erased by a commit, and remove the notes of it.

    It raises nothing: what fails is logged, and left to the keeper.
    """
    done: list[ErasedMaterial] = []
    for each in erased:
        try:
            destroy_material(key_backends, each)
        except Exception as error:  # noqa: BLE001 - the keeper meets it again, and reports it
            logger.warning(
                "%s is erased and not yet destroyed; that is tried again (%s)",
                described(OwnedToken(each.store_id, each.token, each.owner)),
                error.message if isinstance(error, KmsError) else type(error).__name__,
            )
        else:
            done.append(each)

    def act(transaction: Transaction) -> None:
        for each in done:
            transaction.remove_destruction(each)

    if done:
        try:
            store.write(act)
        except KmsError as error:
            # The keeper destroys it once more, which does no harm.
            logger.info("that key material was destroyed could not be noted yet (%s)", error.message)


def destroy(key_backends: KeyBackends, tokens: Iterable[OwnedToken]) -> list[OwnedToken]:
    """Destroy the material behind tokens that no key has got; return those for which that is done.

    A failure is logged, and the others are still destroyed.

    Call it only after a commit that failed for certain.
    """
    done = []
    for each in tokens:
        try:
            key_backends.of_store(each.store_id, external=each.external).destroy(each.token, each.owner)
            done.append(each)
        except KmsError as error:
            logger.error(  # noqa: TRY400 - a traceback shows nothing more
                "could not destroy unused key material: %s; it is left where it is (%s)", described(each), error.message
            )
        except Exception:
            logger.exception("could not destroy unused key material: %s", described(each))
    return done


def described(token: OwnedToken) -> str:
    """Return which material a token is for, as log lines say it."""
    owner, store = token.owner, token.store_id or "default"
    return (
        f"key material {owner.material_id} of key {owner.key_id} "
        f"(account {owner.account}, Region {owner.region}, key store {store})"
    )
