"""Imported key material under any sequence of imports, deletions, rotations and waiting, against a plain model.

The model is a list of what is part of the key, what waits, and until when each is there; it has no key states.
"""

from contextlib import suppress

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from keys_builder import NOW, make_key, material
from strongroom.errors import KmsError
from strongroom.keys import imported, lifecycle
from strongroom.keys.imported import ImportType
from strongroom.keys.kms_key import KeyMaterialState
from strongroom.keys.specs import Origin
from strongroom.keys.states import KeyState

numbers = st.integers(1, 4)
lifetimes = st.none() | st.integers(1, 5)
NO_LIMIT = float("inf")


class ImportedMaterial(RuleBasedStateMachine):
    """A key of origin EXTERNAL and the model of its material: number → when it is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.key = make_key(origin=Origin.EXTERNAL)
        self.parts: list[int] = []
        self.there: dict[int, float] = {}
        self.waiting: int | None = None
        self.disabled = False

    def present(self, number: int | None) -> bool:
        return number is not None and self.there.get(number, self.now) > self.now

    @rule(number=numbers, lifetime=lifetimes, kind=st.none() | st.sampled_from(ImportType))
    def import_material(self, number: int, lifetime: int | None, kind: ImportType | None) -> None:
        until = None if lifetime is None else self.now + lifetime
        chosen = imported.import_type(self.key, kind)
        known = number in self.parts or number == self.waiting
        fits = known if chosen is ImportType.EXISTING else not known and self.waiting is None
        try:
            self.key = imported.import_material(self.key, replace(material(number), expires_at=until), chosen)
        except KmsError:
            assert not fits
            return
        assert fits
        self.there[number] = NO_LIMIT if until is None else until
        if not self.parts:
            self.parts.append(number)
        elif not known:
            self.waiting = number

    @rule(number=st.none() | numbers)
    def delete(self, number: int | None) -> None:
        asked = None if number is None else material(number).material_id
        with suppress(KmsError):
            self.key = imported.delete_material(self.key, asked)
        gone = number if number is not None else self.parts[-1] if self.parts else None
        self.there.pop(gone or 0, None)
        if gone is not None and gone == self.waiting:
            self.waiting = None

    @rule()
    def rotate(self) -> None:
        if imported.as_of(self.key, self.now).state is not KeyState.ENABLED:
            return
        try:
            self.key = imported.rotate(self.key, self.now)
        except KmsError:
            assert not self.present(self.waiting)
            return
        assert self.waiting is not None
        self.parts.append(self.waiting)
        self.waiting = None

    @rule(seconds=st.integers(1, 3), keeper_comes=st.booleans())
    def wait(self, seconds: int, keeper_comes: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        self.now += seconds
        if keeper_comes:
            self.key = imported.as_of(self.key, self.now)
            if not self.present(self.waiting):
                self.waiting = None

    @rule()
    def disable(self) -> None:
        if imported.as_of(self.key, self.now).state is KeyState.ENABLED:
            self.key = lifecycle.disable(self.key)

    @rule()
    def enable(self) -> None:
        if imported.as_of(self.key, self.now).state is KeyState.DISABLED:
            self.key = lifecycle.enable(self.key)

    @invariant()
    def the_key_is_usable_exactly_while_every_part_of_it_is_there(self) -> None:
        whole = bool(self.parts) and all(self.present(number) for number in self.parts)
        seen = imported.as_of(self.key, self.now)
        assert (seen.state is not KeyState.PENDING_IMPORT) == whole
        assert seen.has_all_material == whole

    @invariant()
    def its_material_is_what_the_model_says(self) -> None:
        seen = imported.as_of(self.key, self.now)
        waiting = [self.waiting] if self.present(self.waiting) else []
        assert [int(each.material_id, 16) for each in seen.materials] == [*self.parts, *waiting]
        assert [each.token is not None for each in seen.materials] == [
            self.present(number) for number in [*self.parts, *waiting]
        ]
        states = [each.state for each in seen.materials]
        assert states == [KeyMaterialState.NON_CURRENT] * (len(self.parts) - 1) + [KeyMaterialState.CURRENT] * bool(
            self.parts
        ) + [KeyMaterialState.PENDING_ROTATION] * len(waiting)


TestImportedMaterial = ImportedMaterial.TestCase
