"""What the audit log says of the backups of a data folder: which were begun, and in which order."""

from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import PurePath

import msgspec

from strongroom.assembly.data_folder import DataFolder
from strongroom.audit.sink import AuditMark
from strongroom.audit.writer_id import WriterId
from strongroom.node_id import NodeId
from strongroom.store.audit.tail import AuditTail

BACKUP_EVENT = "CreateBackup"
"""The event that the audit log has for a backup: one when it is begun, and another if it fails."""

REMOVAL_EVENT = "RemoveBackups"
"""The event for older backups that could not be removed, although the record of the backup says that they would be."""

_TEXT = b'"eventName":"%b"' % BACKUP_EVENT.encode()


class BackupRecord(msgspec.Struct, frozen=True):
    """A backup that was begun: when, epoch seconds, its file, and whether this is the record of its failure."""

    at: float
    file: str
    failed: bool


class _Details(msgspec.Struct):
    file: str = ""


class _Line(msgspec.Struct, rename="camel"):
    event_time: str
    error_code: str = ""
    service_event_details: _Details = msgspec.field(default_factory=_Details)


def backup_records(folder: DataFolder, node: NodeId) -> Iterator[BackupRecord]:
    """Yield the records of backups in the audit log of a node, the newest first. Damaged lines are left out."""
    beginning = AuditMark(WriterId(node, None).name, "", 0)
    for line in AuditTail(folder.audit).since(beginning, _TEXT):
        try:
            record = msgspec.json.decode(line, type=_Line)
            at = datetime.fromisoformat(record.event_time).timestamp()
        except (msgspec.DecodeError, ValueError):
            continue  # It is damaged; the check of the log says so.
        yield BackupRecord(at, record.service_event_details.file, bool(record.error_code))


def ranks_of_backups(folder: DataFolder, node: NodeId, names: Collection[str]) -> dict[str, int]:
    """Return a rank for each of some names of backups that the audit log knows: the higher, the newer.

    It is the order of the log, which no clock can change.
    """
    ranks: dict[str, int] = {}
    for age, record in enumerate(backup_records(folder, node)):
        name = PurePath(record.file).name
        if name in names:
            ranks.setdefault(name, -age)
        if len(ranks) == len(names):
            break
    return ranks
