"""What the audit log says was destroyed after a backup."""

import json

from strongroom.backup.destructions import DestroyedMaterial, Destructions, earliest

KEY = "arn:aws:kms:us-east-1:111122223333:key/1"
OTHER = "arn:aws:kms:us-east-1:111122223333:key/2"
BEFORE, THEN, LATER = "2026-03-01T11:59:59Z", "2026-03-01T12:00:00Z", "2026-03-02T12:00:00Z"


def line(
    event: str, arn: str = KEY, at: str = LATER, *, writer: str = "w0", sequence: int = 100, **more: object
) -> bytes:
    record = {"eventTime": at, "eventName": event, **more}
    record |= {"resources": [{"ARN": arn}], "chain": {"writer": writer, "sequence": sequence, "hash": ""}}
    return json.dumps(record, separators=(",", ":")).encode()


def noted(*lines: bytes) -> Destructions:
    found = Destructions({"w0": 50}, THEN)
    for each in lines:
        found.note(each)
    return found


def test_a_deleted_key_is_found_and_other_events_are_not() -> None:
    found = noted(line("DeleteKey"), line("ScheduleKeyDeletion", OTHER), b'{"segment":{}}', b'not JSON "DeleteKey"')
    assert dict(found.keys) == {KEY: LATER}
    assert found.materials == []


def test_a_refused_call_destroys_nothing() -> None:
    assert not noted(line("DeleteImportedKeyMaterial", errorCode="AccessDenied")).materials


def test_what_the_backup_has_seen_already_does_not_count() -> None:
    assert not noted(line("DeleteKey", sequence=50)).keys
    assert noted(line("DeleteKey", sequence=51, at=BEFORE)).keys
    assert not noted(line("DeleteKey", writer="w9", sequence=900, at=BEFORE)).keys
    assert noted(line("DeleteKey", writer="w9", sequence=1, at=THEN)).keys


def test_material_that_was_imported_again_is_there() -> None:
    deleted = line("DeleteImportedKeyMaterial", at=THEN, responseElements={"keyId": KEY, "keyMaterialId": "m"})
    again = line("ImportKeyMaterial", at=LATER, responseElements={"keyId": KEY, "keyMaterialId": "m"})
    at_once = line("ImportKeyMaterial", at=THEN, responseElements={"keyId": KEY, "keyMaterialId": "m"})
    other = line("ImportKeyMaterial", at=LATER, responseElements={"keyId": KEY, "keyMaterialId": "n"})
    assert noted(deleted).materials == [DestroyedMaterial(KEY, "m")]
    assert noted(again, deleted).materials == []
    assert noted(deleted, at_once).materials == [DestroyedMaterial(KEY, "m")]
    assert noted(deleted, other).materials == [DestroyedMaterial(KEY, "m")]


def test_the_material_of_a_key_that_can_have_only_one_has_no_id() -> None:
    assert noted(line("DeleteImportedKeyMaterial", responseElements={"keyId": KEY})).materials == [
        DestroyedMaterial(KEY, None)
    ]


def test_a_deleted_key_takes_its_material_with_it() -> None:
    found = noted(line("DeleteImportedKeyMaterial"), line("DeleteKey"))
    assert (list(found.keys), found.materials) == ([KEY], [])


def test_clocks_of_nodes_may_differ_by_minutes() -> None:
    assert earliest(1000.0) == 700.0
