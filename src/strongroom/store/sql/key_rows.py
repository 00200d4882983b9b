"""A KMS key and the rows that it consists of: authenticated together, so that a part that is missing is noticed.

The code of the key's own row covers its resource tags and the list ``material_macs``: the id and the code of each
material. So if a material's row was changed or removed, it is known which one, and what the key's row says still holds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import select

from strongroom.clock import DAY
from strongroom.errors import QuarantinedRecordException
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.states import KeyState
from strongroom.store.quarantine import Finding, material_record, printable
from strongroom.store.records import DamagedKey
from strongroom.store.sql import rows
from strongroom.store.sql.row_guard import FORGED, UNREADABLE, UNREADABLE_ERRORS, RowGuard, name_of, refusal
from strongroom.store.sql.row_macs import FORMATS
from strongroom.store.sql.rows import AnyRow
from strongroom.store.sql.schema import alias, key_material, key_tag, kms_key
from strongroom.store.sql.statements import KEY, where

MISSING = "its stored record is missing"
FOREIGN = "its stored record does not belong to the key"

KEY_ROW = select(kms_key).where(where(kms_key, *KEY))
"""The own row of a key."""

PARTS_OF_KEY = (
    select(key_material).where(where(key_material, *KEY)).order_by(key_material.c.ordinal),
    select(key_tag).where(where(key_tag, *KEY)).order_by(key_tag.c.tag_key),
    select(alias).where(where(alias, *KEY)).order_by(alias.c.name),
)
"""Its materials, resource tags and aliases."""


class KeyRows(NamedTuple):
    """All rows of a key: each has the columns of its table, in their order, and as attributes."""

    row: AnyRow
    materials: Sequence[AnyRow]
    tags: Sequence[AnyRow]
    aliases: Sequence[AnyRow]


_decode_macs = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...]).decode


def sealed_key(guard: RowGuard, key: KmsKey) -> dict[str, object]:
    """Return the row of a key in its own table, with its code and those of its materials."""
    values = rows.key_values(key)
    authenticator = guard.authenticator
    if authenticator is None:
        return {**values, "material_macs": None, "row_mac": None}
    encode = FORMATS[key_material.name].of_values
    macs = [
        (material.material_id, authenticator.mac(encode(rows.material_values(key, ordinal))))
        for ordinal, material in enumerate(key.materials)
    ]
    return guard.sealed(kms_key, {**values, "material_macs": msgspec.msgpack.encode(macs)}, sorted(key.tags))


def key_of(guard: RowGuard, locator: KeyLocator, found: KeyRows | None, *, whole: bool = False) -> KmsKey | None:
    """Return the key that its rows make, as ``read_key`` does; None if there are none."""
    if found is None:
        guard.gone(kms_key, **msgspec.structs.asdict(locator))
        return None
    return read_key(guard, *found, whole=whole)


def read_key(
    guard: RowGuard,
    row: AnyRow,
    materials: Sequence[AnyRow],
    tags: Sequence[AnyRow],
    aliases: Sequence[AnyRow],
    *,
    whole: bool = False,
) -> KmsKey:
    """Put a key together from its rows; raises QuarantinedRecordException if its row or tags were changed.

    Materials whose rows were changed or are missing are left out, and ``KmsKey.damaged`` names them; if the ``whole``
    key is wanted, because it is going to be written again, they raise QuarantinedRecordException as well.
    """
    fault = FORGED
    if _is_authentic(guard, row, tags):
        names = guard.intact(alias, aliases, lambda each: each.name)
        try:
            intact, findings = materials_of(guard, row, materials)
            key = rows.read_key(row, intact, tags, names, tuple(findings))
        except UNREADABLE_ERRORS:
            fault = UNREADABLE
        else:
            if len(guard.quarantine):
                guard.quarantine.release(name_of(kms_key, row))
                for material in key.materials:
                    guard.quarantine.release(material_record(material.material_id, key.arn))
            for finding in findings.values():
                guard.quarantine.add(finding)
            if whole and findings:
                raise refusal(kms_key, next(iter(findings.values())).record)
            return key
    name = name_of(kms_key, row)
    guard.quarantine.add(Finding(name, fault))
    raise refusal(kms_key, name)


def materials_of(guard: RowGuard, row: AnyRow, found: Sequence[AnyRow]) -> tuple[list[AnyRow], dict[str, Finding]]:
    """Return the rows of an authentic key's materials that are intact, oldest first, and what is wrong with others."""
    if guard.authenticator is None:
        return list(found), {}
    unread = {each.material_id: each for each in found}
    intact, faults = [], {}
    for material_id, mac in _decode_macs(row.material_macs):
        material = unread.pop(material_id, None)
        if material is None:
            faults[material_id] = MISSING
        elif guard.is_authentic(key_material, material, mac):
            intact.append(material)
        else:
            faults[material_id] = FORGED
    faults |= dict.fromkeys(map(printable, unread), FOREIGN)
    if not faults:
        return intact, {}
    arn = name_of(kms_key, row).removeprefix("key ")
    return intact, {each: Finding(material_record(each, arn), fault) for each, fault in faults.items()}


def damaged_key(
    guard: RowGuard,
    locator: KeyLocator,
    row: AnyRow | None,
    materials: Sequence[AnyRow],
    tags: Sequence[AnyRow],
    aliases: Sequence[AnyRow],
) -> DamagedKey | None:
    """Return what the rows of a key show of it if one of them is damaged or missing; None if none is, or all are."""
    if row is None:
        return DamagedKey(locator) if materials or tags or aliases else None
    try:
        key = read_key(guard, row, materials, tags, aliases)
    except QuarantinedRecordException:
        primary = row.primary_region if isinstance(row.primary_region, str) else ""
        return DamagedKey(locator, deletion_at=_stated_end(row), primary_region=primary)
    return DamagedKey(locator, key, key.deletion_at, key.primary_region) if key.damaged else None


def _stated_end(row: AnyRow) -> float | None:
    """Return when the waiting period of a key ends, as its damaged row says; None if it does not say it consistently.

    A date alone does not count: the state must be that of a key that waits, for a window that began after the key was
    made.
    """
    created_at, window, deletion_at = row.created_at, row.deletion_window_days, row.deletion_at
    if row.state != KeyState.PENDING_DELETION.value:
        return None
    if any(type(each) not in {int, float} for each in (created_at, window, deletion_at)):
        return None
    # The clock may have been set in between, by less than a day.
    return float(deletion_at) if deletion_at - window * DAY >= created_at - DAY else None


def _is_authentic(guard: RowGuard, row: AnyRow, tags: Sequence[AnyRow]) -> bool:
    if guard.authenticator is None:
        return True
    try:
        parts = tags_of(tags)
    except TypeError:
        # Values of different types have no order.
        return False
    return guard.is_authentic(kms_key, row, parts=parts)


def tags_of(tags: Sequence[AnyRow]) -> list[tuple[str, str]]:
    """Return the resource tags of a key as its code covers them; raises TypeError if they have no order."""
    return sorted((each.tag_key, each.tag_value) for each in tags)
