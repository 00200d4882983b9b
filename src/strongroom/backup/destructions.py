"""What was destroyed after a backup was made, from the records of the audit log. Pure.

- ``DeleteKey`` is the service's own event when it erases a key. Key ids are never used again.
- ``DeleteImportedKeyMaterial`` erases material. ImportKeyMaterial may bring the same bytes back later; then they are in
  the backup as well, and it counts for nothing. Where it is not known which was later, the deletion wins.
- Material that expires carries its date in the backup: it cannot be used after that, and the keeper erases it again.

A record counts if its chain has it after the checkpoint that the backup has of its writer. Of writers that the backup
does not know, a record counts if the log notes with it the history of the database that the backup has, or a later one:
in that history every writer before the backup was known. Clocks decide only where the log notes nothing that can be
compared: the records of releases that wrote no notes, backups that say nothing of the database, and the logs of two
databases that were restored from the same backup.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import msgspec

from strongroom.arns import parse_arn
from strongroom.backup.manifest import DatabaseEnd

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


class _Moment(msgspec.Struct, frozen=True):
    """When something was recorded: where in which chain, where the database was, and at what time."""

    writer: str
    sequence: int
    place: DatabaseEnd | None
    time: str

    def is_after(self, other: "_Moment") -> bool:
        """Tell whether this is known to be later."""
        if self.writer == other.writer:
            return self.sequence > other.sequence
        ours, theirs = self.place, other.place
        if ours is not None and theirs is not None:
            if ours.history != theirs.history:
                return ours.history > theirs.history
            if ours.history_id == theirs.history_id:
                return ours.change > theirs.change
        return self.time > other.time


class Destructions:
    """Collects what records say, in any order. Memory holds what was destroyed, not the records."""

    def __init__(self, positions: Mapping[str, int], ends: DatabaseEnd | None, not_before: str) -> None:
        """Count records after the ``positions`` of writers, and of others those after ``ends``, where the database was.

        Where that does not tell, count records that are ``not_before`` a time, which is written as in records.
        """
        self._positions = positions
        self._ends = ends
        self._not_before = not_before
        self._keys: set[str] = set()
        self._deleted: dict[DestroyedMaterial, _Moment] = {}
        self._imported: dict[DestroyedMaterial, _Moment] = {}

    def note(self, line: bytes, place: DatabaseEnd | None) -> None:
        """Take one line of the log into account, which was written when the database was at a ``place``."""
        if not may_count(line):
            return
        try:
            record = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if record.error_code or not record.resources or not self._counts(record, place):
            return
        arn = record.resources[0].arn
        if parse_arn(arn) is None:
            return
        if record.event_name == _DELETE_KEY:
            self._keys.add(arn)
        elif record.event_name in {_DELETE_MATERIAL, _IMPORT_MATERIAL}:
            known = self._deleted if record.event_name == _DELETE_MATERIAL else self._imported
            material_id = (record.response_elements or {}).get("keyMaterialId")
            material = DestroyedMaterial(arn, material_id if isinstance(material_id, str) else None)
            moment = _Moment(record.chain.writer, record.chain.sequence, place, record.event_time)
            before = known.get(material)
            if before is None or moment.is_after(before):
                known[material] = moment

    @property
    def keys(self) -> AbstractSet[str]:
        """The ARNs of destroyed keys."""
        return self._keys

    @property
    def materials(self) -> list[DestroyedMaterial]:
        """The material that was deleted and not imported again, of keys that were not destroyed."""
        return [
            material
            for material, deleted in self._deleted.items()
            if material.arn not in self._keys
            and ((imported := self._imported.get(material)) is None or not imported.is_after(deleted))
        ]

    def _counts(self, record: _Record, place: DatabaseEnd | None) -> bool:
        position = self._positions.get(record.chain.writer)
        if position is not None:
            return record.chain.sequence > position
        if place is not None and self._ends is not None:
            if place.history != self._ends.history:
                return place.history > self._ends.history
            if place.history_id == self._ends.history_id:
                return True
        return record.event_time >= self._not_before


def may_count(line: bytes) -> bool:
    """Tell whether a line may say that something was destroyed or imported: of others, nothing is needed."""
    return any(mark in line for mark in _MARKS)


def earliest(at: float) -> float:
    """Return the time from which records count where only clocks can tell, for a backup made ``at``; epoch seconds."""
    return at - _SLACK
