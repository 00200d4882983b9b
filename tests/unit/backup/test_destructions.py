"""What the audit log says was destroyed after a backup."""

import json
from typing import Any

from strongroom.backup.destructions import DestroyedMaterial, Destructions, earliest
from strongroom.backup.manifest import DatabaseEnd

KEY = "arn:aws:kms:us-east-1:111122223333:key/1"
OTHER = "arn:aws:kms:us-east-1:111122223333:key/2"
BEFORE, THEN, LATER = "2026-03-01T11:59:59Z", "2026-03-01T12:00:00Z", "2026-03-02T12:00:00Z"
ENDS = DatabaseEnd(3, "aa", 700)


def line(
    event: str, arn: str = KEY, at: str = LATER, *, writer: str = "w0", sequence: int = 100, **more: object
) -> bytes:
    record = {"eventTime": at, "eventName": event, **more}
    record |= {"resources": [{"ARN": arn}], "chain": {"writer": writer, "sequence": sequence, "hash": ""}}
    return json.dumps(record, separators=(",", ":")).encode()


def noted(
    *lines: bytes, place: DatabaseEnd | None = None, ends: DatabaseEnd | None = None, more: Destructions | None = None
) -> Destructions:
    found = more or Destructions({"w0": 50}, ends, THEN)
    for each in lines:
        found.note(each, place)
    return found


def test_a_deleted_key_is_found_and_other_events_are_not() -> None:
    found = noted(line("DeleteKey"), line("ScheduleKeyDeletion", OTHER), b'{"segment":{}}', b'not JSON "DeleteKey"')
    assert found.keys == {KEY}
    assert found.materials == []


def test_a_refused_call_destroys_nothing() -> None:
    assert not noted(line("DeleteImportedKeyMaterial", errorCode="AccessDenied")).materials


def test_what_the_backup_has_seen_already_does_not_count() -> None:
    assert not noted(line("DeleteKey", sequence=50)).keys
    assert noted(line("DeleteKey", sequence=51, at=BEFORE)).keys
    assert not noted(line("DeleteKey", writer="w9", sequence=900, at=BEFORE)).keys
    assert noted(line("DeleteKey", writer="w9", sequence=1, at=THEN)).keys


def test_the_history_of_the_database_tells_what_is_later_and_no_clock() -> None:
    old, new = line("DeleteKey", writer="w9", at=BEFORE), line("DeleteKey", writer="w9", at=LATER)
    for later in (DatabaseEnd(3, "aa", 699), DatabaseEnd(3, "aa", 701), DatabaseEnd(4, "bb", 1)):
        assert noted(old, place=later, ends=ENDS).keys, later
    assert not noted(new, place=DatabaseEnd(2, "cc", 900), ends=ENDS).keys


def test_where_nothing_can_be_compared_the_clock_tells() -> None:
    old, new = line("DeleteKey", writer="w9", at=BEFORE), line("DeleteKey", writer="w9", at=LATER)
    for place, ends in ((None, ENDS), (ENDS, None), (DatabaseEnd(3, "bb", 900), ENDS)):
        assert not noted(old, place=place, ends=ends).keys
        assert noted(new, place=place, ends=ends).keys


def test_material_that_was_imported_again_is_there() -> None:
    material: dict[str, Any] = {"responseElements": {"keyId": KEY, "keyMaterialId": "m"}}
    deleted = line("DeleteImportedKeyMaterial", at=THEN, **material)
    again = line("ImportKeyMaterial", at=LATER, writer="w1", **material)
    at_once = line("ImportKeyMaterial", at=THEN, writer="w1", **material)
    other = line("ImportKeyMaterial", at=LATER, responseElements={"keyId": KEY, "keyMaterialId": "n"})
    assert noted(deleted).materials == [DestroyedMaterial(KEY, "m")]
    assert noted(again, deleted).materials == []
    assert noted(deleted, at_once).materials == [DestroyedMaterial(KEY, "m")]
    assert noted(deleted, other).materials == [DestroyedMaterial(KEY, "m")]


def test_which_of_deletion_and_import_was_later_is_told_by_the_chain() -> None:
    """The clock was set back between them."""
    material: dict[str, Any] = {"responseElements": {"keyId": KEY, "keyMaterialId": "m"}}
    delete, load = "DeleteImportedKeyMaterial", "ImportKeyMaterial"
    first, second = line(delete, at=LATER, sequence=60, **material), line(load, at=THEN, sequence=61, **material)
    assert noted(first, second).materials == []
    first, second = line(load, at=LATER, sequence=60, **material), line(delete, at=THEN, sequence=61, **material)
    assert noted(second, first).materials == [DestroyedMaterial(KEY, "m")]


def test_of_two_chains_the_position_of_the_database_tells() -> None:
    material: dict[str, Any] = {"responseElements": {"keyId": KEY, "keyMaterialId": "m"}}
    deleted = line("DeleteImportedKeyMaterial", at=LATER, **material)
    loaded = line("ImportKeyMaterial", at=THEN, writer="w1", **material)
    for earlier, later in (
        (DatabaseEnd(3, "aa", 710), DatabaseEnd(3, "aa", 711)),
        (DatabaseEnd(3, "aa", 710), DatabaseEnd(4, "bb", 5)),
    ):
        found = noted(deleted, place=earlier, ends=ENDS)
        assert noted(loaded, place=later, more=found).materials == []
        found = noted(loaded, place=earlier, ends=ENDS)
        assert noted(deleted, place=later, more=found).materials == [DestroyedMaterial(KEY, "m")]


def test_the_material_of_a_key_that_can_have_only_one_has_no_id() -> None:
    assert noted(line("DeleteImportedKeyMaterial", responseElements={"keyId": KEY})).materials == [
        DestroyedMaterial(KEY, None)
    ]


def test_a_deleted_key_takes_its_material_with_it() -> None:
    found = noted(line("DeleteImportedKeyMaterial"), line("DeleteKey"))
    assert (found.keys, found.materials) == ({KEY}, [])


def test_clocks_of_nodes_may_differ_by_minutes() -> None:
    assert earliest(1000.0) == 700.0
