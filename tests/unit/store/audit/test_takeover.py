"""The end of a chain at a start: lines that a crash leaves, and lines that only an attacker can have added."""

import errno
import os
from pathlib import Path

import msgspec
import pytest

from audit_disk import Disk
from strongroom.audit.chain import Checkpoint, KnownWriter, Position, claim_of, link
from strongroom.audit.report import Kind
from strongroom.errors import KMSInternalException
from strongroom.store.audit.segments import segments_of


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path / "audit", monkeypatch)


def forge(disk: Disk, *names: str, writer: str = "w0") -> None:
    """Add lines to the end of a chain, as an attacker who can write to the folder can."""
    chain = [segment.path for segment in segments_of(disk.folder) if segment.writer == writer]
    position = claim_of(chain[-1].read_bytes().splitlines()[-1])
    assert position is not None
    with chain[-1].open("ab") as file:
        file.write(link([msgspec.json.encode({"eventName": name}) for name in names], position)[0])


def invent(disk: Disk, writer: str) -> None:
    """Add a chain of a writer that the database does not know."""
    name = f"2026-09-21T120000Z-{writer}-000000000001.jsonl"
    header = msgspec.json.encode({"segment": {"name": name, "previous": "0" * 64}})
    (disk.folder / name).write_bytes(link([header, b'{"eventName":"forged"}'], Position(writer))[0])


def serve(disk: Disk, *names: str) -> None:
    disk.clock.advance(1)
    log = disk.open()
    disk.write(log, *names)
    log.close()


def kinds(disk: Disk) -> list[Kind]:
    return [finding.kind for finding in disk.findings()]


def test_lines_added_after_a_stop_are_found_before_and_after_the_next_start(disk: Disk) -> None:
    serve(disk, "one", "two")
    assert disk.verified().uncovered == 0
    forge(disk, "forged", "forged too")
    (finding,) = disk.findings()
    assert (finding.kind, finding.line, finding.text) == (
        Kind.ADDED,
        6,
        "the writer had stopped with 4; what comes after it was added",
    )
    serve(disk, "three")
    (finding,) = disk.findings()
    assert (finding.kind, finding.sequence) == (Kind.ADDED, 7)
    assert finding.text == "the writer had stopped before the last 2 lines; they were added"
    assert disk.files()[1][0]["segment"]["unvouched"] == 2
    serve(disk, "four")
    assert kinds(disk) == [Kind.ADDED]


def test_an_added_file_is_found_too(disk: Disk) -> None:
    serve(disk, "one")
    end = claim_of(segments_of(disk.folder)[0].path.read_bytes().splitlines()[-1])
    assert end is not None
    name = f"2026-09-21T120002Z-w0-{end.sequence + 1:012}.jsonl"
    header = msgspec.json.encode({"segment": {"name": name, "previous": end.digest.decode()}})
    (disk.folder / name).write_bytes(link([header, b'{"eventName":"forged"}'], end)[0])
    assert kinds(disk) == [Kind.ADDED]
    disk.clock.advance(2)
    serve(disk, "two")
    assert kinds(disk) == [Kind.ADDED]


def test_a_start_that_dies_at_once_does_not_forget_what_was_added(disk: Disk) -> None:
    serve(disk, "one")
    forge(disk, "forged")
    disk.clock.advance(1)
    disk.open()
    serve(disk, "two")
    assert kinds(disk) == [Kind.ADDED]


def test_a_start_on_a_full_disk_does_not_forget_what_was_added(disk: Disk) -> None:
    serve(disk, "one")
    forge(disk, "forged")
    disk.clock.advance(1)
    disk.fill(left=0)
    disk.open()
    disk.repair()
    serve(disk, "two")
    assert kinds(disk) == [Kind.ADDED]


def test_lines_that_a_crash_leaves_are_counted_once_and_signed_without_a_call(disk: Disk) -> None:
    log = disk.open()
    disk.write(log, "one")
    log.checkpoint()
    disk.write(log, "two", "three")
    report = disk.verified()
    assert (report.unsigned, report.uncovered) == (2, 0)
    disk.clock.advance(1)
    disk.open().checkpoint()
    report = disk.verified()
    assert (report.unsigned, report.uncovered, report.checkpoints) == (0, 2, 2)
    assert disk.files()[1][0]["segment"]["unvouched"] == 2


def test_crashes_that_follow_each_other_count_no_line_twice(disk: Disk) -> None:
    for number in range(4):
        disk.write(disk.open(), f"{number}")
        disk.clock.advance(1)
    assert [lines[0]["segment"].get("unvouched") for lines in disk.files()] == [None, 2, 4, 6]
    assert (disk.verified().uncovered, disk.verified().unsigned) == (6, 4)


def test_a_chain_of_an_unknown_writer_is_found(disk: Disk) -> None:
    serve(disk, "one")
    invent(disk, "w9")
    (finding,) = disk.findings()
    assert (finding.kind, finding.text) == (Kind.ADDED, "the database does not know writer w9")
    # A takeover does not make it a known one.
    log = disk.open(writer="w9")
    log.close()
    assert "the database did not know the writer of the 2 lines before this" in [each.text for each in disk.findings()]


def test_a_writer_is_known_before_its_first_line_and_its_first_checkpoint(disk: Disk) -> None:
    log = disk.open()
    assert disk.signer.writers == {"w0": KnownWriter()}
    disk.write(log, "one")
    assert disk.verified().unsigned == 1


def test_a_first_checkpoint_that_is_not_in_the_database_yet_is_no_finding(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = disk.open()
    disk.write(log, "one")

    def busy(_writer: str, _known: KnownWriter) -> None:
        raise KMSInternalException

    monkeypatch.setattr(disk.signer, "record", busy)
    with pytest.raises(KMSInternalException):
        log.checkpoint()
    assert disk.verified().checkpoints == 1


def test_a_writer_that_stops_and_starts_while_its_log_is_verified_is_no_finding(disk: Disk) -> None:
    serve(disk, "one")
    before = dict(disk.signer.writers)
    serve(disk, "two")
    assert disk.verify_from(before).findings == []


@pytest.mark.parametrize("statement", [b"{", b"\xff", b'{"sequence":1}', b"null"])
def test_a_damaged_checkpoint_in_the_database_is_found_and_does_not_prevent_a_start(
    disk: Disk, caplog: pytest.LogCaptureFixture, statement: bytes
) -> None:
    serve(disk, "one")
    for signature in (bytes(64), b"short"):
        disk.signer.writers["w0"] = KnownWriter(Checkpoint(msgspec.Raw(statement), signature), stopped=True)
        assert kinds(disk) == [Kind.BAD_SIGNATURE]
    serve(disk, "two")
    assert "the database has no good checkpoint of audit writer w0" in caplog.text
    (finding,) = disk.findings()
    assert finding.text == "the database had no valid checkpoint that covers the 3 lines before this"


def test_a_checkpoint_of_another_writer_is_not_accepted(disk: Disk) -> None:
    serve(disk, "one")
    other = disk.open(writer="w1")
    disk.write(other, "one")
    other.close()
    disk.signer.writers["w0"] = disk.signer.writers["w1"]
    assert kinds(disk) == [Kind.BAD_SIGNATURE]


def test_a_log_that_is_closed_takes_no_line(disk: Disk) -> None:
    log = disk.open()
    disk.write(log, "one")
    log.close()
    log.append(b'{"eventName":"late"}')
    with pytest.raises(KMSInternalException):
        log.flush()
    assert disk.events() == ["one"]
    assert disk.verified().records == 1


def test_an_end_that_could_not_be_written_is_not_recorded_as_a_stop(disk: Disk) -> None:
    log = disk.open()
    disk.write(log, "one")
    log.checkpoint()
    disk.write(log, "two")
    disk.fill(left=0)
    log.close()
    assert not disk.signer.writers["w0"].stopped
    disk.repair()
    serve(disk, "three")
    report = disk.verified()
    assert (report.records, report.uncovered, disk.signer.writers["w0"].stopped) == (3, 1, True)


def test_files_that_could_not_be_synced_are_synced_before_a_later_checkpoint_is_recorded(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = disk.open(size=4096)
    for number in range(40):
        disk.write(log, f"{number:0100}")
    most = len(disk.files())
    assert most > 2
    disk.break_sync()
    with pytest.raises(OSError, match="Input/output error"):
        log.checkpoint()
    disk.repair()
    synced = set()

    def sync(file: int) -> None:
        synced.add(os.fstat(file).st_ino)

    monkeypatch.setattr(os, "fdatasync", sync)
    log.checkpoint()
    assert len(synced) == most
    log.close()


def test_a_segment_that_could_not_be_begun_after_its_checkpoint_does_not_end_the_chain_unseen(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = disk.open(size=1)
    disk.write(log, "one")
    begin = os.open

    def full(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, "No space left on device")
        return begin(path, flags, mode)

    monkeypatch.setattr(os, "open", full)
    log.append(b'{"eventName":"two"}')
    with pytest.raises(KMSInternalException):
        log.flush()
    log.close()
    assert not disk.signer.writers["w0"].stopped
    monkeypatch.setattr(os, "open", begin)
    serve(disk, "three")
    assert disk.verified().records == 2


def test_lines_of_what_was_done_are_kept_in_any_number(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom.store.audit.pending_lines._MOST_WAITING", 3)
    log = disk.open()
    disk.fill(left=0)
    for number in range(5):
        log.append(b'{"eventName":"done %d"}' % number)
        log.append_refusal(b'{"eventName":"refused %d"}' % number)
        with pytest.raises(KMSInternalException):
            log.flush()
    measured = log.measure()
    assert (measured.failing, measured.waiting, measured.lost) == (True, 6, 4)
    disk.repair()
    assert log.writable()
    log.close()
    assert disk.events() == ["done 0", "refused 0", "done 1", "done 2", "done 3", "done 4"]
    assert disk.verified().lost == 4
    measured = log.measure()
    assert (measured.failing, measured.waiting, measured.lost) == (False, 0, 4)


def test_a_file_that_is_removed_while_it_is_written_is_reported_and_takes_no_more_lines(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    log = disk.open()
    disk.write(log, "one")
    log.checkpoint()
    segments_of(disk.folder)[0].path.unlink()
    disk.write(log, "two")
    log.checkpoint()
    assert "2026-09-21T120000Z-w0-000000000001.jsonl of the audit log was removed while it was written" in caplog.text
    disk.write(log, "three")
    log.close()
    assert disk.events() == ["three"]
    assert kinds(disk) == [Kind.FILE_MISSING]


def test_a_start_that_goes_on_from_an_earlier_place_is_one_finding(disk: Disk) -> None:
    serve(disk, "one", "two", "three")
    path = segments_of(disk.folder)[0].path
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    end = claim_of(path.read_bytes().splitlines()[-1])
    assert end is not None
    with path.open("ab") as file:
        file.write(link([b'{"eventName":"forged"}'] * 50, end)[0])
    serve(disk, *(f"{number}" for number in range(30)))
    assert Kind.REORDERED in kinds(disk)
    assert len(disk.findings()) < 5


def test_of_very_many_findings_only_the_first_are_kept(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom.audit.verification._MOST_FINDINGS", 3)
    serve(disk, "one")
    with segments_of(disk.folder)[0].path.open("ab") as file:
        file.write(b"nothing\n" * 10)
    report = disk.verify()
    assert (len(report.findings), report.further) == (4, 7)


def test_lines_that_a_later_signed_checkpoint_covers_were_not_added(disk: Disk) -> None:
    serve(disk, "one")
    before = dict(disk.signer.writers)
    serve(disk, "two", "three")
    # The database was rolled back. What it does not know any more was signed all the same.
    for set_back in (before, {}):
        disk.signer.writers = dict(set_back)
        assert Kind.ADDED not in {finding.kind for finding in disk.verify_from(before).findings}
        serve(disk, "four")
        assert disk.verified().uncovered == 0
    forge(disk, "forged")
    assert kinds(disk) == [Kind.ADDED]
    disk.signer.writers = dict(before)
    serve(disk, "five")
    assert kinds(disk) == [Kind.ADDED]
