"""Key material that is made for a change before its transaction begins, because key back ends may be slow.

A change looks up here what it needs. If something is missing, because the key changed since the material was prepared,
the lookup raises ``MaterialMissing``. That rolls the transaction back; the material is made; the change is tried again.
"""

import logging
from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeAlias

import msgspec

from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.seal import UnsealError
from strongroom.entropy import Entropy
from strongroom.errors import (
    CustomKeyStoreInvalidStateException,
    DependencyTimeoutException,
    QuarantinedRecordException,
)
from strongroom.events.key_events import KeyEvent, KeyEvents, NoKeyEvents
from strongroom.keys import multi_region
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeySpec
from strongroom.operations.kms.announced_material import AnnouncedMaterial
from strongroom.operations.kms.key_material import (
    OwnedToken,
    described,
    destroy,
    generate_external_material,
    generate_material,
)
from strongroom.snapshot.active_key import binding_of
from strongroom.store.protocol import Transaction

logger = logging.getLogger(__name__)


class NewMaterial(msgspec.Struct, frozen=True):
    """The need for new material of a key, for CreateKey or a rotation; ``external_id`` is that of an external key."""

    locator: KeyLocator
    spec: KeySpec
    store_id: str | None
    external_id: str | None = None


class MaterialCopy(msgspec.Struct, frozen=True):
    """The need for a copy of a multi-Region key's material in another Region."""

    token: bytes
    owner: MaterialBinding
    store_id: str | None
    region: str


MaterialNeed: TypeAlias = NewMaterial | MaterialCopy
"""What a key back end has to make before a change can be written."""


class MaterialMissing(Exception):
    """A change needs key material that has not been prepared. Raised inside a transaction, it rolls that back."""

    def __init__(self, needs: Iterable[MaterialNeed]) -> None:
        super().__init__()
        self.needs = tuple(needs)


class PreparedMaterial:
    """The key material prepared for one change, and its events. Use it as a context manager, in one thread.

    At the end, everything that was prepared and has not become part of a key is destroyed. There is one exception: if
    it is unknown whether the change was committed, nothing is destroyed, because a key may have it. That is logged,
    with the material's id. The keeper finds out about what was ``announced``.
    """

    def __init__(
        self,
        key_backends: KeyBackends,
        entropy: Entropy,
        events: KeyEvents | None = None,
        announced: AnnouncedMaterial | None = None,
    ) -> None:
        self.key_backends = key_backends
        self._announced = announced
        self._events = events or NoKeyEvents()
        self._intended: tuple[KeyEvent, ...] = ()
        self._entropy = entropy
        self._made: dict[MaterialNeed, OwnedToken] = {}
        self._imported: list[OwnedToken] = []
        self._used: set[bytes | None] = set()
        self.in_doubt = False
        """Whether a key may have the material although nothing says so: true while a write is under way."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        unused = [each for each in (*self._made.values(), *self._imported) if each.token not in self._used]
        if self.in_doubt:
            for each in unused:
                logger.error("it is unknown whether a key has this material, so it was kept: %s", described(each))
        else:
            destroyed = destroy(self.key_backends, unused)
            if self._announced is not None:
                self._announced.forget(destroyed)

    def new(self, key: KmsKey, external_id: str | None = None) -> OwnedToken:
        """Return new material for a key, the same one each time; raises MaterialMissing if it is not prepared.

        ``external_id`` is that of the external key, in an external key store.
        """
        need = NewMaterial(key.locator, key.spec, key.custom_key_store_id, external_id)
        self._require((need,))
        return self._made[need]

    def copies(self, source: KmsKey, relatives: Iterable[KmsKey]) -> dict[KeyLocator, dict[str, bytes]]:
        """Return copies of a multi-Region key's material, where its relatives lack it: by key, tokens by material id.

        Raises MaterialMissing, for all relatives together, if some are not prepared.
        """
        needs = {relative.locator: _copies_needed(source, relative) for relative in relatives}
        self._require(need for by_material in needs.values() for need in by_material.values())
        return {
            locator: {material_id: self._made[need].token for material_id, need in by_material.items()}
            for locator, by_material in needs.items()
        }

    def make(self, needs: Iterable[MaterialNeed]) -> None:
        """Have key back ends make what is needed. Must not be called while a transaction is open."""
        for need in needs:
            if isinstance(need, NewMaterial):
                made = self._generated(need)
            else:
                token = self._copy(need)
                made = OwnedToken(need.store_id, token, msgspec.structs.replace(need.owner, region=need.region))
            self._made[need] = made

    def _copy(self, need: MaterialCopy) -> bytes:
        owner = need.owner
        try:
            return self.key_backends.of_store(need.store_id).replicate(need.token, owner, need.region)
        except UnsealError:
            arn = KeyLocator(owner.account, owner.region, owner.key_id).arn
            raise QuarantinedRecordException(
                f"The stored key material {owner.material_id} of {arn} is damaged, so it cannot be copied."
            ) from None

    def _generated(self, need: NewMaterial) -> OwnedToken:
        back_ends, entropy = self.key_backends, self._entropy
        if need.store_id is not None and need.external_id is not None:
            return generate_external_material(back_ends, need.locator, need.spec, need.store_id, need.external_id)
        planned: list[OwnedToken] = []

        def announce(made: OwnedToken) -> None:
            if self._announced is not None:
                self._announced.announce(made)
                planned.append(made)

        try:
            return generate_material(back_ends, entropy, need.locator, need.spec, need.store_id, announce)
        except DependencyTimeoutException:
            # The token may still make it.
            raise
        except Exception as error:
            never_asked = isinstance(error, CustomKeyStoreInvalidStateException)
            if self._announced is not None:
                self._announced.forget(planned if never_asked else destroy(back_ends, planned))
            raise

    def confirm(self, transaction: Transaction, keys: Iterable[KmsKey]) -> None:
        """Note in the transaction that gives material to keys that it does; raises as ``AnnouncedMaterial.confirm``."""
        if self._announced is not None:
            self._announced.confirm(transaction, keys)

    def add_imported(self, token: OwnedToken) -> None:
        """Add material that was imported for the change."""
        self._imported.append(token)

    def intend(self, events: tuple[KeyEvent, ...]) -> None:
        """Keep the events of the change, which is about to be committed; once, however often it is planned again."""
        if events != self._intended:
            self.withdraw_events()
            self._events.intend(events)
            self._intended = events

    def send_events(self) -> None:
        """Have the events sent: the change was committed."""
        self._events.commit(self._intended)
        self._intended = ()

    def withdraw_events(self) -> None:
        """Forget the events: the change was not committed."""
        self._events.withdraw(self._intended)
        self._intended = ()

    def use(self, keys: Iterable[KmsKey]) -> None:
        """Note that keys have been written, so that their material is not destroyed."""
        self._used.update(material.token for key in keys for material in key.materials)

    def _require(self, needs: Iterable[MaterialNeed]) -> None:
        missing = [need for need in needs if need not in self._made]
        if missing:
            raise MaterialMissing(missing)


def _copies_needed(source: KmsKey, relative: KmsKey) -> dict[str, MaterialCopy]:
    return {
        material.material_id: MaterialCopy(
            material.token, binding_of(source, material.material_id), source.custom_key_store_id, relative.region
        )
        for material in multi_region.not_yet_in(relative, source)
        if material.token is not None
    }
