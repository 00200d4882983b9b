"""Damage by the machine's end where older segments are archived, and the database was rolled back to one of them."""

from pathlib import Path

import pytest

from audit_disk import KEY, Disk
from strongroom.audit.archive import archive_event, end_of
from strongroom.audit.operator_events import Circumstances, operator_event
from strongroom.audit.report import Kind, Report
from strongroom.audit.user_identity import operating_system_user
from strongroom.audit.verification import Verifier
from strongroom.store.audit.archiving import stated
from strongroom.store.audit.segment_reader import lines_of, read_statements, walk
from strongroom.store.audit.segments import Segment, copies_of_segments, segments_of

NODE = "a1b2c3d4e5f6"
WRITER, COMMANDS = f"{NODE}w0", f"{NODE}cli"


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Return a log whose first segment is archived. The database has only the checkpoint in that.

    The second segment has a signed checkpoint. Each of nine after it was ended by a kill before its first one.
    """
    disk = Disk(tmp_path / "audit", monkeypatch)
    log = disk.open(writer=WRITER)
    disk.write(log, "archived")
    log.checkpoint()
    rolled_back = disk.signer.writers[WRITER]
    disk.clock.advance(1)
    log = disk.open(writer=WRITER)
    disk.write(log, "signed")
    log.checkpoint()
    archive_oldest(disk)
    for _ in range(9):
        disk.clock.advance(1)
        disk.write(disk.open(writer=WRITER), "one", "two")
    disk.signer.writers[WRITER] = rolled_back
    return disk


def chain(disk: Disk) -> list[Segment]:
    return [segment for segment in segments_of(disk.folder) if segment.writer == WRITER]


def archive_oldest(disk: Disk) -> None:
    """Remove the oldest segment, after stating that it is archived."""
    segment, successor = chain(disk)
    end = end_of(segment.name, lines_of(segment.path))
    at = Circumstances(operator=operating_system_user(0, "root", ""), region="us-east-1", now=0.0, event_id="id")
    log = disk.open(writer=COMMANDS)
    log.append(operator_event(archive_event("/archive", [stated(segment, end, successor)]), at))
    log.close()
    segment.path.unlink()


def change(segment: Segment, old: bytes, new: bytes) -> None:
    """Change what a segment has in one place."""
    content = segment.path.read_bytes()
    assert content.count(old) == 1
    segment.path.write_bytes(content.replace(old, new))


def goes_on(disk: Disk) -> Report:
    """Start the machine and a server again, stop it, and verify."""
    disk.clock.restart(60)
    log = disk.open(writer=WRITER)
    disk.write(log, "later")
    log.close()
    verifier = Verifier(
        KEY.public().verifies,
        disk.signer.writers,
        stated=read_statements(segments_of(disk.folder), KEY.public().verifies),
    )
    walk(copies_of_segments([disk.folder]), verifier, lambda _: None)
    return verifier.finish(disk.signer.writers)


def test_damage_in_one_of_many_segments_since_the_last_checkpoint_is_a_note(disk: Disk) -> None:
    change(chain(disk)[-1], b'{"eventName":"two"', bytes(18))
    report = goes_on(disk)
    assert report.findings == []
    assert report.damaged == 1


@pytest.mark.parametrize("removed", ["checkpoint", "nothing"])
def test_signed_lines_stay_findings_without_their_checkpoint(disk: Disk, removed: str) -> None:
    """Before a segment is archived, the next one has a signed checkpoint: no failure of the machine can take that."""
    oldest = chain(disk)[0]
    change(oldest, b'"signed"', b'"sIgned"')
    if removed == "checkpoint":
        change(oldest, b'{"checkpoint"', b'{"checkpoiNt"')
    kinds = {finding.kind for finding in goes_on(disk).findings}
    assert kinds == {Kind.ALTERED}
