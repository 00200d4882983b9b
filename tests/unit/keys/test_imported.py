"""The life cycle of imported key material, rule by rule."""

import pytest
from msgspec.structs import replace

from keys_builder import NOW, make_key, material
from strongroom.clock import DAY
from strongroom.errors import (
    IncorrectKeyMaterialException,
    KMSInvalidStateException,
    LimitExceededException,
    NotFoundException,
    UnsupportedOperationException,
    ValidationException,
)
from strongroom.keys import imported, lifecycle
from strongroom.keys.imported import ExpirationModel, ImportType
from strongroom.keys.kms_key import KeyMaterialState, KmsKey, RotationType
from strongroom.keys.specs import KeySpec, Origin
from strongroom.keys.states import KeyState

CURRENT, NON_CURRENT, PENDING, PENDING_REPLICAS = (
    KeyMaterialState.CURRENT,
    KeyMaterialState.NON_CURRENT,
    KeyMaterialState.PENDING_ROTATION,
    KeyMaterialState.PENDING_MULTI_REGION_IMPORT_AND_ROTATION,
)
EXTERNAL = make_key(origin=Origin.EXTERNAL)


def new(key: KmsKey, number: int, *, until: float | None = None) -> KmsKey:
    return imported.import_material(key, replace(material(number), expires_at=until), ImportType.NEW)


def again(key: KmsKey, number: int, *, until: float | None = None, description: str | None = None) -> KmsKey:
    back = replace(material(number), token=b"again", expires_at=until, description=description)
    return imported.import_material(key, back, ImportType.EXISTING)


def id_of(number: int) -> str:
    return material(number).material_id


def parts(key: KmsKey) -> list[tuple[int, KeyMaterialState, bool]]:
    return [(int(each.material_id, 16), each.state, each.token is not None) for each in key.materials]


def rotated(*numbers: int) -> KmsKey:
    """Return an enabled key that has had these materials."""
    key = new(EXTERNAL, numbers[0])
    for number in numbers[1:]:
        key = imported.rotate(new(key, number), NOW)
    return key


def test_the_first_material_is_current_and_enables_the_key() -> None:
    key = new(EXTERNAL, 1)
    assert key.state is KeyState.ENABLED
    assert parts(key) == [(1, CURRENT, True)]


def test_new_material_is_pending_until_a_rotation_and_only_one_at_a_time() -> None:
    key = new(new(EXTERNAL, 1), 2)
    assert parts(key) == [(1, CURRENT, True), (2, PENDING, True)]
    with pytest.raises(KMSInvalidStateException) as refused:
        new(key, 3)
    assert refused.value.message == (
        f"New key material (id: {id_of(3)}) cannot be imported into KMS key {key.arn}, "
        f"because another key material (id: {id_of(2)}) is pending rotation."
    )
    after = imported.rotate(key, NOW + 5)
    assert parts(after) == [(1, NON_CURRENT, True), (2, CURRENT, True)]
    assert (after.materials[1].rotated_at, after.materials[1].rotation_type) == (NOW + 5, RotationType.ON_DEMAND)
    assert after.materials[0].rotated_at is None


def test_a_rotation_without_pending_material_is_refused() -> None:
    key = new(EXTERNAL, 1)
    with pytest.raises(KMSInvalidStateException) as refused:
        imported.rotate(key, NOW)
    assert refused.value.message == f"No available key material pending rotation for the key: {key.arn}."
    with pytest.raises(KMSInvalidStateException):
        imported.rotate(new(key, 2, until=NOW + 1), NOW + 1)


def test_a_key_with_imported_material_has_twenty_five_rotations() -> None:
    key = new(rotated(*range(1, 27)), 27)
    with pytest.raises(LimitExceededException):
        imported.rotate(key, NOW)


def test_new_material_must_be_new_and_existing_material_must_exist() -> None:
    key = new(new(EXTERNAL, 1), 2)
    for number in (1, 2):
        with pytest.raises(IncorrectKeyMaterialException):
            new(key, number)
    for start in (EXTERNAL, key):
        with pytest.raises(IncorrectKeyMaterialException):
            again(start, 3)


def test_the_default_type_of_an_import() -> None:
    assert imported.import_type(EXTERNAL, None) is ImportType.NEW
    assert imported.import_type(new(EXTERNAL, 1), None) is ImportType.EXISTING
    assert imported.import_type(new(EXTERNAL, 1), ImportType.NEW) is ImportType.NEW


def test_importing_again_changes_the_expiry_and_keeps_the_description_unless_there_is_another() -> None:
    key = again(new(EXTERNAL, 1), 1, until=NOW + DAY, description="first")
    assert (key.materials[0].expires_at, key.materials[0].description) == (NOW + DAY, "first")
    key = again(key, 1)
    assert (key.materials[0].expires_at, key.materials[0].description) == (None, "first")
    assert again(key, 1, description="second").materials[0].description == "second"
    assert (key.materials[0].created_at, key.state) == (NOW, KeyState.ENABLED)


def test_material_pending_rotation_can_be_imported_again_too() -> None:
    key = again(new(new(EXTERNAL, 1), 2), 2, until=NOW + DAY)
    assert parts(key) == [(1, CURRENT, True), (2, PENDING, True)]


def test_a_key_is_pending_import_until_all_its_material_is_back() -> None:
    key = imported.delete_material(imported.delete_material(rotated(1, 2, 3), None), id_of(1))
    assert key.state is KeyState.PENDING_IMPORT
    assert parts(key) == [(1, NON_CURRENT, False), (2, NON_CURRENT, True), (3, CURRENT, False)]
    key = again(key, 3)
    assert key.state is KeyState.PENDING_IMPORT
    key = again(key, 1)
    assert key.state is KeyState.ENABLED
    assert parts(key) == [(1, NON_CURRENT, True), (2, NON_CURRENT, True), (3, CURRENT, True)]


def test_material_pending_rotation_can_be_deleted_and_replaced_by_other_material() -> None:
    key = imported.delete_material(new(rotated(1), 2), id_of(2))
    assert key.state is KeyState.ENABLED
    assert parts(key) == [(1, CURRENT, True)]
    assert parts(new(key, 3)) == [(1, CURRENT, True), (3, PENDING, True)]


def test_deleting_missing_material_changes_nothing_and_unknown_material_is_refused() -> None:
    assert imported.delete_material(EXTERNAL, None) == EXTERNAL
    gone = imported.delete_material(rotated(1), None)
    assert imported.delete_material(gone, None) == gone
    assert imported.delete_material(gone, id_of(1)) == gone
    with pytest.raises(NotFoundException):
        imported.delete_material(gone, id_of(2))


def test_new_material_stays_pending_while_the_key_is_pending_import() -> None:
    key = new(imported.delete_material(rotated(1), None), 2)
    assert key.state is KeyState.PENDING_IMPORT
    assert parts(key) == [(1, CURRENT, False), (2, PENDING, True)]
    assert again(key, 1).state is KeyState.ENABLED


def test_a_disabled_key_stays_disabled_as_long_as_it_has_its_material() -> None:
    key = lifecycle.disable(rotated(1))
    assert again(key, 1).state is KeyState.DISABLED
    assert new(key, 2).state is KeyState.DISABLED
    assert imported.delete_material(key, None).state is KeyState.PENDING_IMPORT


def test_a_key_pending_deletion_stays_so_and_its_state_after_cancelling_follows_from_its_material() -> None:
    whole = lifecycle.schedule_deletion(rotated(1, 2), 7, NOW)
    assert lifecycle.cancel_deletion(whole).state is KeyState.DISABLED
    for material_id in (id_of(1), id_of(2)):
        key = imported.delete_material(whole, material_id)
        assert key.state is KeyState.PENDING_DELETION
        assert lifecycle.cancel_deletion(key).state is KeyState.PENDING_IMPORT


def test_expired_material_is_missing_from_that_moment_on_and_other_material_stays() -> None:
    key = new(EXTERNAL, 1, until=NOW + 10)
    key = imported.rotate(new(key, 2, until=NOW + 20), NOW)
    assert imported.as_of(key, NOW + 9.9) is key
    expired = imported.as_of(key, NOW + 10)
    assert expired.state is KeyState.PENDING_IMPORT
    assert parts(expired) == [(1, NON_CURRENT, False), (2, CURRENT, True)]
    assert [each.expires_at for each in expired.materials] == [None, NOW + 20]
    assert imported.lost(key, expired) == [id_of(1)]
    assert imported.as_of(expired, NOW + 10) is expired
    assert imported.lost(expired, imported.as_of(expired, NOW + 20)) == [id_of(2)]


def test_expired_material_pending_rotation_does_not_change_the_state_of_the_key() -> None:
    key = new(rotated(1), 2, until=NOW + 10)
    expired = imported.as_of(key, NOW + 10)
    assert expired.state is KeyState.ENABLED
    assert parts(expired) == [(1, CURRENT, True)]
    assert imported.lost(key, expired) == [id_of(2)]


def test_keys_with_generated_material_never_expire() -> None:
    key = make_key()
    odd = replace(key, materials=(replace(key.materials[0], expires_at=NOW),))
    assert imported.as_of(odd, NOW + DAY) is odd


@pytest.mark.parametrize("spec", [KeySpec.HMAC_256, KeySpec.RSA_2048, KeySpec.ECC_NIST_P256])
def test_asymmetric_and_hmac_keys_keep_their_first_material_for_life(spec: KeySpec) -> None:
    key = new(replace(EXTERNAL, spec=spec), 1)
    assert again(key, 1, until=NOW + DAY).materials[0].expires_at == NOW + DAY
    for kind in ImportType:
        with pytest.raises(IncorrectKeyMaterialException):
            imported.import_material(key, material(2), kind)
    with pytest.raises(UnsupportedOperationException):
        imported.rotate(key, NOW)


def test_new_material_of_related_keys_goes_into_the_primary_first() -> None:
    primary = replace(rotated(1), multi_region=True, primary_region="us-east-1", replica_regions=("eu-west-1",))
    waiting = new(primary, 2)
    assert waiting.materials[1].state is PENDING_REPLICAS
    with pytest.raises(KMSInvalidStateException, match="No available key material"):
        imported.rotate(waiting, NOW)
    replica = replace(imported.delete_material(primary, None), region="eu-west-1")
    assert again(replica, 1).state is KeyState.ENABLED
    with pytest.raises(UnsupportedOperationException, match="is not a multi-region primary key"):
        new(replica, 2)
    with pytest.raises(UnsupportedOperationException, match="is not a multi-region primary key"):
        imported.rotate(again(replica, 1), NOW)


def test_the_expiry_must_match_its_model_and_be_within_a_year() -> None:
    expires, stays = ExpirationModel.EXPIRES, ExpirationModel.DOES_NOT_EXPIRE
    for model, valid_to in ((expires, NOW + 1), (expires, NOW + 365 * DAY), (stays, None)):
        imported.require_expiry(model, valid_to, NOW)
    for model, valid_to in ((expires, NOW), (expires, NOW - 1), (expires, NOW + 365 * DAY + 1), (stays, NOW + 1)):
        with pytest.raises(ValidationException):
            imported.require_expiry(model, valid_to, NOW)
    with pytest.raises(ValidationException) as refused:
        imported.require_expiry(expires, None, NOW)
    assert refused.value.message == "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"
