"""What was destroyed after a backup was made, from the records of the audit log. Pure.

- ``DeleteKey`` is the service's own event when it erases a key. Key ids are never used again.
- ``DeleteImportedKeyMaterial`` erases material. ImportKeyMaterial may bring the same bytes back later; then they are in
  the backup as well, and it counts for nothing. Within one second the deletion wins.
- Material that expires carries its date in the backup: it cannot be used after that, and the keeper erases it again.

A record counts if its chain has it after the checkpoint that the backup has of its writer. Of writers that the backup
does not know, a record counts if its time is not before the backup's.
"""

from collections.abc import Mapping

import msgspec

from strongroom.arns import parse_arn

_SLACK = 300.0
"""How far the clock of a node may have been behind that of the node that made the backup, in seconds."""

_DELETE_KEY = "DeleteKey"
_DELETE_MATERIAL = "DeleteImportedKeyMaterial"
_IMPORT_MATERIAL = "ImportKeyMaterial"
_MARKS = tuple(b'"eventName":"%b"' % name.encode() for name in (_DELETE_KEY, _DELETE_MATERIAL, _IMPORT_MATERIAL))
"""Texts, one of which is in each line that counts. Other lines need not be decoded."""


class DestroyedMaterial(msgspec.Struct, frozen=True):
    """Material of a key; without an id, the only material that the key can have."""

    arn: str
    material_id: str | None


class _Resource(msgspec.Struct):
    arn: str = msgspec.field(name="ARN", default="")


class _Chain(msgspec.Struct):
    writer: str = ""
    sequence: int = 0


class _Record(msgspec.Struct, rename="camel"):
    event_name: str = ""
    event_time: str = ""
    error_code: str = ""
    response_elements: Mapping[str, object] | None = None
    resources: tuple[_Resource, ...] = ()
    chain: _Chain = msgspec.field(default_factory=_Chain)


_decoder = msgspec.json.Decoder(_Record)


class Destructions:
    """Collects what records say, in any order. Memory holds what was destroyed, not the records."""

    def __init__(self, positions: Mapping[str, int], not_before: str) -> None:
        """Count records after the ``positions`` of writers, and of others those that are ``not_before`` a time.

        The time is written as in records.
        """
        self._positions = positions
        self._not_before = not_before
        self._keys: dict[str, str] = {}
        self._deleted: dict[DestroyedMaterial, str] = {}
        self._imported: dict[DestroyedMaterial, str] = {}

    def note(self, line: bytes) -> None:
        """Take one line of the log into account."""
        if not any(mark in line for mark in _MARKS):
            return
        try:
            record = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if record.error_code or not record.resources or not self._counts(record):
            return
        arn = record.resources[0].arn
        if parse_arn(arn) is None:
            return
        if record.event_name == _DELETE_KEY:
            self._keys[arn] = max(record.event_time, self._keys.get(arn, ""))
        elif record.event_name in {_DELETE_MATERIAL, _IMPORT_MATERIAL}:
            known = self._deleted if record.event_name == _DELETE_MATERIAL else self._imported
            material_id = (record.response_elements or {}).get("keyMaterialId")
            material = DestroyedMaterial(arn, material_id if isinstance(material_id, str) else None)
            known[material] = max(record.event_time, known.get(material, ""))

    @property
    def keys(self) -> Mapping[str, str]:
        """The ARNs of destroyed keys, with the time of each as in records."""
        return self._keys

    @property
    def materials(self) -> list[DestroyedMaterial]:
        """The material that was deleted and not imported again, of keys that were not destroyed."""
        return [
            material
            for material, at in self._deleted.items()
            if material.arn not in self._keys and self._imported.get(material, "") <= at
        ]

    def _counts(self, record: _Record) -> bool:
        position = self._positions.get(record.chain.writer)
        if position is None:
            return record.event_time >= self._not_before
        return record.chain.sequence > position


def earliest(at: float) -> float:
    """Return the time from which records of unknown writers count, for a backup made ``at``; epoch seconds."""
    return at - _SLACK
