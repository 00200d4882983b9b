"""The audit log on disk: whole lines, in order, in segments; a write that fails leaves no trace."""

import errno
import os
import stat
from pathlib import Path

import msgspec
import pytest

from audit_disk import KEY, Disk
from strongroom.audit.chain import KnownWriter, Position, link, signed_bytes
from strongroom.clock import DAY
from strongroom.errors import KMSInternalException
from strongroom.store.audit.chain_writer import ChainWriter
from strongroom.store.audit.log import Durability
from strongroom.store.audit.segments import segments_of


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path / "audit", monkeypatch)


@pytest.mark.parametrize("durability", ["write", "fsync"])
def test_one_flush_writes_every_line_in_order(disk: Disk, durability: Durability) -> None:
    log = disk.open(durability)
    log.append(b'{"eventName":"one"}')
    log.append(b'{"eventName":"two"}')
    assert disk.files() == []
    log.flush()
    assert disk.events() == ["one", "two"]
    log.flush()
    disk.write(log, "three")
    log.close()
    assert disk.events() == ["one", "two", "three"]
    (segment,) = segments_of(disk.folder)
    assert segment.path.name == "2026-09-21T120000Z-w0-000000000001.jsonl"
    assert stat.S_IMODE(segment.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(disk.folder.stat().st_mode) == 0o700
    report = disk.verified()
    assert (report.segments, report.records, report.checkpoints, report.unsigned) == (1, 3, 1, 0)


def test_a_segment_ends_when_it_is_large_and_at_the_end_of_the_day(disk: Disk) -> None:
    log = disk.open(size=4096)
    for number in range(40):
        disk.write(log, f"{number:0100}")
    before = len(disk.files())
    assert before > 2
    assert all(segment.path.stat().st_size < 5000 for segment in segments_of(disk.folder))
    disk.clock.advance(DAY / 2 - 1)
    disk.write(log, "late")
    assert len(disk.files()) == before
    disk.clock.advance(1)
    disk.write(log, "early")
    assert len(disk.files()) == before + 1
    assert [next(iter(line)) for line in disk.files()[-1]] == ["segment", "eventName"]
    assert "checkpoint" in disk.files()[-2][-1]
    log.close()
    assert disk.verified().records == 42


def test_the_chain_goes_on_at_the_next_start(disk: Disk) -> None:
    for name in ("one", "two"):
        log = disk.open()
        disk.write(log, name)
        log.close()
        disk.clock.advance(1)
    assert [line["chain"]["sequence"] for lines in disk.files() for line in lines] == [1, 2, 3, 4, 5, 6]
    assert disk.files()[1][0]["segment"]["previous"] == disk.files()[0][-1]["chain"]["hash"]
    assert disk.verified().records == 2


def test_a_start_without_calls_writes_nothing(disk: Disk) -> None:
    disk.open().close()
    assert disk.files() == []


def test_checkpoints_are_signed_by_the_audit_key_and_only_when_there_is_something_new(disk: Disk) -> None:
    log = disk.open()
    disk.write(log, "one")
    for _ in range(3):
        log.checkpoint()
    *_, record, line = disk.files()[0]
    statement = msgspec.json.encode(line["checkpoint"])
    assert line["checkpoint"]["sequence"] == record["chain"]["sequence"]
    assert line["checkpoint"]["hash"] == record["chain"]["hash"]
    kept = disk.signer.writers["w0"].checkpoint
    assert kept is not None
    assert bytes(kept.statement) == statement
    assert KEY.public().verifies(signed_bytes(statement), kept.signature)
    assert disk.verified().checkpoints == 1


def test_an_unfinished_line_is_cut_off_at_the_next_start_and_that_is_recorded(disk: Disk) -> None:
    log = disk.open()
    disk.write(log, "one", "two")
    path = segments_of(disk.folder)[0].path
    with path.open("ab") as file:
        file.write(b'{"eventName":"thr')
    assert disk.verified().torn == 17
    disk.clock.advance(1)
    again = disk.open()
    disk.write(again, "three")
    again.close()
    assert disk.events() == ["one", "two", "three"]
    assert disk.files()[1][0]["segment"]["torn"] == 17
    assert disk.verified().torn == 17


def test_a_segment_without_one_whole_line_is_removed(disk: Disk) -> None:
    log = disk.open()
    disk.write(log, "one")
    log.close()
    (disk.folder / "2026-09-21T120001Z-w0-000000000004.jsonl").write_bytes(b'{"segm')
    (disk.folder / "2026-09-21T120002Z-w0-000000000004.jsonl").touch()
    disk.clock.advance(3)
    again = disk.open()
    disk.write(again, "two")
    again.close()
    assert len(disk.files()) == 2
    assert disk.verified().torn == 6


@pytest.mark.parametrize("cutting", [True, False])
def test_a_full_disk_refuses_leaves_no_trace_and_recovers(disk: Disk, *, cutting: bool) -> None:
    log = disk.open()
    disk.write(log, "before")
    size = segments_of(disk.folder)[0].path.stat().st_size
    disk.fill()
    if not cutting:
        disk.break_truncation()
    for name in ("during", "still"):
        log.append(msgspec.json.encode({"eventName": name}))
        with pytest.raises(KMSInternalException):
            log.flush()
        assert not log.writable()
    if cutting:
        assert segments_of(disk.folder)[0].path.stat().st_size == size
    disk.repair()
    assert log.writable()
    # What was done is recorded, though no answer left.
    assert disk.events() == ["before", "during", "still"]
    disk.write(log, "after")
    log.close()
    assert disk.verified().records == 4


@pytest.mark.parametrize("room", [0, 10, 200, 230])
def test_a_disk_that_is_full_when_a_segment_ends(disk: Disk, room: int) -> None:
    log = disk.open()
    disk.write(log, "before")
    disk.clock.advance(DAY)
    disk.fill(left=room)
    log.append(b'{"eventName":"during"}')
    with pytest.raises(KMSInternalException):
        log.flush()
    disk.repair()
    disk.write(log, "after")
    log.close()
    assert disk.events() == ["before", "during", "after"]
    assert disk.verified().records == 3


def test_a_disk_that_fails_to_sync_refuses_and_recovers(disk: Disk) -> None:
    log = disk.open("fsync")
    disk.write(log, "before")
    before = disk.files()
    disk.break_sync()
    log.append(b'{"eventName":"during"}')
    with pytest.raises(KMSInternalException):
        log.flush()
    assert disk.files() == before
    disk.repair()
    disk.write(log, "after")
    log.close()
    assert disk.verified().records == 3


def test_a_checkpoint_that_did_not_get_on_disk_is_not_recorded_but_made_again(disk: Disk) -> None:
    log = disk.open()
    disk.write(log, "one")
    disk.break_sync()
    with pytest.raises(OSError, match="Input/output error"):
        log.checkpoint()
    assert disk.signer.writers == {"w0": KnownWriter()}
    disk.repair()
    log.checkpoint()
    assert disk.verified().checkpoints == 2


def test_a_log_that_cannot_be_written_at_the_end_says_so(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    log = disk.open()
    disk.write(log, "one")
    disk.fill(left=0)
    log.append(b'{"eventName":"two"}')
    log.close()
    assert "the end of the audit log could not be written: 1 record (" in caplog.text
    disk.repair()
    assert disk.verified().unsigned == 1


def test_refusals_beyond_the_bound_of_the_queue_are_counted(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom.store.audit.pending_lines._MOST_WAITING", 3)
    log = disk.open()
    disk.write(log, "before")
    disk.fill(left=0)
    for number in range(5):
        log.append_refusal(b'{"eventName":"%d"}' % number)
        with pytest.raises(KMSInternalException):
            log.flush()
    disk.repair()
    disk.clock.advance(1)
    log.close()
    assert disk.events() == ["before", "0", "1", "2"]
    assert disk.verified().lost == 2


def test_a_log_that_ends_before_its_checkpoint_never_hides_the_gap(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    log = disk.open()
    disk.write(log, "one", "two")
    log.close()
    path = segments_of(disk.folder)[0].path
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    disk.clock.advance(1)
    again = disk.open()
    assert "the audit log lacks its checkpoint at 3" in caplog.text
    disk.write(again, "three")
    again.close()
    assert [finding.text for finding in disk.findings()] == ["3 to 3 are missing"]


def test_each_writer_has_a_chain_of_its_own(disk: Disk) -> None:
    logs = [disk.open(writer=writer) for writer in ("w0", "w1", "w10")]
    for _ in range(2):
        for log in logs:
            disk.write(log, "one", "two")
        disk.clock.advance(DAY)
    for log in logs:
        log.close()
    report = disk.verified()
    assert (report.segments, report.records, report.checkpoints, report.unsigned) == (6, 12, 6, 0)
    for segment in segments_of(disk.folder):
        if segment.writer == "w1":
            segment.path.unlink()
    (finding,) = disk.findings()
    assert finding.kind == "file missing"
    assert finding.text.startswith("the database has a checkpoint of writer w1, and there is no file of it: ")


def test_unreadable_lines_stay_and_are_found(disk: Disk) -> None:
    log = disk.open()
    disk.write(log, "one", "two")
    log.close()
    path = segments_of(disk.folder)[0].path
    lines = path.read_bytes().splitlines(keepends=True)
    # A power cut may leave this of lines that were not synced yet.
    path.write_bytes(b"".join(lines[:2]) + bytes(300) + b"\n" + bytes(300))
    disk.clock.advance(1)
    again = disk.open()
    assert path.read_bytes() == b"".join(lines[:2]) + bytes(300) + b"\n"
    disk.write(again, "three")
    again.close()
    assert [finding.kind for finding in disk.findings()] == ["altered"]


@pytest.mark.parametrize("more", [0, 5])
def test_a_restart_does_not_sign_a_forged_history(disk: Disk, more: int) -> None:
    log = disk.open()
    disk.write(log, "one", "two")
    log.close()
    path = segments_of(disk.folder)[0].path
    header = path.read_bytes().partition(b',"chain"')[0] + b"}"
    # All hashes are right; only the checkpoint, which cannot be forged, is left out.
    forged = [header, *(b'{"eventName":"forged"}' for _ in range(2 + more))]
    path.write_bytes(link(forged, Position("w0"))[0])
    disk.clock.advance(1)
    again = disk.open()
    disk.write(again, "three")
    again.close()
    assert disk.findings() != []


def test_a_checkpoint_that_was_cut_off_alone_costs_no_record(disk: Disk) -> None:
    log = disk.open()
    disk.write(log, "one", "two")
    log.close()
    path = segments_of(disk.folder)[0].path
    path.write_bytes(path.read_bytes()[:-10])
    assert [finding.kind for finding in disk.findings()] == ["truncated"]
    disk.clock.advance(1)
    again = disk.open()
    disk.write(again, "three")
    again.close()
    assert disk.verified().records == 3


def test_no_segment_misses_its_sync_after_a_time_without_file_descriptors(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = disk.open(size=100)
    for number in range(3):
        disk.write(log, f"{number}")
    complete = {*log._chain._complete}
    assert len(complete) == 2
    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", no_descriptors)
        with pytest.raises(OSError, match="Too many open files"):
            log.checkpoint()
    synced: list[int] = []
    fdatasync = os.fdatasync

    def counted(descriptor: int) -> None:
        fdatasync(descriptor)
        synced.append(descriptor)

    monkeypatch.setattr(os, "fdatasync", counted)
    log.checkpoint()
    assert complete <= {*synced}
    assert log._chain._complete == []
    log.close()


def test_the_size_that_metrics_show_never_falls(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    log = disk.open(size=300)
    sizes: list[int] = []
    retire = ChainWriter._retire_segment

    def measured(chain: ChainWriter) -> None:
        sizes.append(log.measure().size)
        retire(chain)
        sizes.append(log.measure().size)

    monkeypatch.setattr(ChainWriter, "_retire_segment", measured)
    for number in range(9):
        disk.write(log, f"{number}")
        sizes.append(log.measure().size)
    log.close()
    assert len(sizes) > 9
    assert sizes == sorted(sizes)
    assert log.measure().size == sum(each.path.stat().st_size for each in segments_of(disk.folder))


def no_descriptors(_descriptor: int) -> int:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
