"""Checks of the audit log, and of the last backup, which the log knows of."""

from collections.abc import Iterator

import msgspec

from strongroom.assembly.audit_archive import due_segments
from strongroom.assembly.audit_folders import AuditFolders
from strongroom.assembly.audit_log import size_of_log, verify_log
from strongroom.assembly.audit_shipping import reports
from strongroom.assembly.backups.records import BackupRecord, backup_records
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.doctor.results import Finding, critical, ok, unknown, warning
from strongroom.assembly.doctor.scene import Scene
from strongroom.assembly.node import require_node_id
from strongroom.audit.chain import name_time
from strongroom.audit.report import Kind
from strongroom.clock import DAY
from strongroom.first_few import first_few
from strongroom.store.audit.segment_reader import UnreadableSegmentError
from strongroom.store.audit.segments import end_of_chain, mark_at_end
from strongroom.store.records import AuditWriterRecord

_LOST_REMEDY = "ship the audit log, so that less is lost next time; what is left of it still verifies"
_SHOWN = 5
_STALE = 300.0
"""After so many seconds, lines of a running server should have been signed. It does that every few seconds."""
_OLD_DAYS = 90
_MEGABYTE = 1e6


def check_log(scene: Scene) -> Iterator[Finding]:
    """Find out whether the whole log is as it was written, with the archives that were named."""
    folder = _require_log(scene.folder)
    key, store = scene.audit_key, scene.store
    folders = AuditFolders((folder.audit,), scene.options.archives)
    # A database in the data folder has one node. Otherwise the chains of other nodes are on their disks.
    nodes = folders.nodes() if scene.settings.is_on_postgresql else None
    with scene.progress("Verifying the audit log", size_of_log(folders.every)) as advance:
        try:
            report = verify_log(folders, nodes, key, store, advance, boot=scene.clock.boot())
        except UnreadableSegmentError as error:
            yield unknown(str(error), "run this again")
            return
    remedy = "look at all findings with: strongroom audit verify; find out who changed the log, and keep a copy of it"
    for each in report.findings[:_SHOWN]:
        where = f"{each.file}:{each.line}: " if each.file else ""
        text = f"{where}{each.kind}: {each.text}"
        yield warning(text, _LOST_REMEDY) if each.kind is Kind.LOST else critical(text, remedy)
    more = len(report.findings) - _SHOWN + report.further
    if more > 0:
        text = f"and {more} other findings"
        all_lost = not report.further and all(each.kind is Kind.LOST for each in report.findings[_SHOWN:])
        yield warning(text, _LOST_REMEDY) if all_lost else critical(text, remedy)
    if report.archived and not scene.options.archives:
        yield ok(f"whole: {report.records} records; {sum(report.archived.values())} archived files were not read")
    else:
        yield ok(f"whole: {report.records} records")


def check_writers(scene: Scene) -> Iterator[Finding]:
    """Find out whether what the node's processes have written is signed."""
    folder = _require_log(scene.folder)
    node = require_node_id(folder)
    with scene.store.read() as reader:
        records = [each for each in reader.audit_writer_records() if each.node == node]
    unsigned = {each.writer: lines for each in records if (lines := _unsigned(folder, each))}
    named = first_few([f"{writer} ({lines})" for writer, lines in unsigned.items()])
    if not unsigned:
        yield ok("all lines are signed")
    elif not scene.is_served:
        yield ok(f"lines of a server or command that was killed are not signed yet: {named}; the next start signs them")
    elif old := [writer for writer in unsigned if _age(scene, folder, writer) > _STALE]:
        yield warning(
            f"lines older than {_STALE / 60:.0f} minutes are not signed, although a server runs: {first_few(old)}",
            "look for errors of the audit log in the server's log; if there is none, start the server again",
        )
    else:
        yield ok(f"the newest lines will be signed in a moment: {named}")


def check_size(scene: Scene) -> Iterator[Finding]:
    """Find out how large the log is, and how much of it could be archived."""
    folder = _require_log(scene.folder)
    before = name_time(scene.clock.now() - _OLD_DAYS * DAY)
    due = sum(segment.path.stat().st_size for segment, _ in due_segments(folder, scene.store, scene.audit_key, before))
    text = f"{size_of_log([folder.audit]) / _MEGABYTE:.1f} MB"
    if due:
        text += (
            f"; {due / _MEGABYTE:.1f} MB are older than {_OLD_DAYS} days and could be moved (strongroom audit archive)"
        )
    yield ok(text)


def check_shipping(scene: Scene) -> Iterator[Finding]:
    """Find out whether each destination has the log, and how far behind it is."""
    settings = scene.settings
    if not settings.audit_ship:
        yield ok("the audit log is shipped nowhere")
        return
    _require_log(scene.folder)
    for each in reports(settings, scene.clock):
        lacks = f"{each.to} lacks {each.size / _MEGABYTE:.1f} MB of the log, the oldest of {each.lag:.0f} s ago"
        if each.failing:
            yield warning(f"{each.to} does not take the log: {each.failing}", "see docs/audit-shipping.md")
        elif each.lag > settings.audit_ship_lag:
            remedy = "look at it with: strongroom audit shipping" if scene.is_served else "start the server"
            yield warning(lacks, remedy)
        elif each.size:
            yield ok(lacks)
        else:
            yield ok(f"{each.to} has all of the log")


def check_backup(scene: Scene) -> Iterator[Finding]:
    """Find out when a backup was made last, as the chain of the commands tells."""
    folder = _require_log(scene.folder)
    remedy = "make one: strongroom backup --to FOLDER"
    found = _last_backup(folder)
    if found is None:
        yield warning("no backup was made", remedy)
        return
    days = (scene.clock.now() - found.at) / DAY
    text = f"the last one was made {max(days, 0):.1f} days ago, to `{found.file}`"
    yield warning(text, remedy) if days * DAY > scene.options.backup_age else ok(text)


def _last_backup(folder: DataFolder) -> BackupRecord | None:
    """Return the newest record of a backup that did not fail. One that failed has a second record, which says so."""
    failed = set[str]()
    for record in backup_records(folder, require_node_id(folder)):
        if record.failed:
            failed.add(record.file)
        elif record.file in failed:
            failed.remove(record.file)
        else:
            return record
    return None


def _unsigned(folder: DataFolder, record: AuditWriterRecord) -> int:
    """Return how many lines of a chain come after its last checkpoint."""
    checkpoint = record.known.checkpoint
    try:
        signed = 0 if checkpoint is None else checkpoint.read().sequence + 1
    except msgspec.DecodeError:
        raise DataFolderError(
            f"the checkpoint of audit writer {record.writer} in the database is damaged; restore a backup"
        ) from None
    return max(0, end_of_chain(folder.audit, record.writer).sequence - signed)


def _age(scene: Scene, folder: DataFolder, writer: str) -> float:
    """Return for how many seconds a chain has not been written."""
    name = mark_at_end(folder.audit, writer).segment
    return scene.clock.now() - (folder.audit / name).stat().st_mtime if name else 0.0


def _require_log(folder: DataFolder) -> DataFolder:
    if not folder.audit.is_dir():
        raise DataFolderError(f"`{folder.audit}` is missing; restore the audit log from a backup of it")
    return folder
