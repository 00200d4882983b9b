"""The files that keep what a node knows of the time."""

import logging
from pathlib import Path

import pytest
from msgspec.structs import replace

from audits import command_records
from local_deployment import LocalDeployment
from strongroom.assembly.clock_record import ClockFiles, accept_clock, known_at
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.open_folder import OpenFolder
from strongroom.clock import DAY, ManualClock, SystemClock
from strongroom.entropy import system_entropy
from strongroom.maintenance.clock_watch import reading_of
from strongroom.trusted_time import Doubt, Reading, first

READING = Reading(1_790_000_000.0, 5.0, "boot")


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path)


def test_what_is_kept_is_read_again(folder: DataFolder) -> None:
    files = ClockFiles(folder)
    assert (files.read(), files.acceptance(), known_at(folder, READING)) == (None, None, None)
    known = first(READING, None)
    for _ in range(2):
        files.write(known)
        files.accept(READING)
    assert (files.read(), files.acceptance()) == (known, READING)
    assert known_at(folder, READING) == replace(known, confirmed=True, accepted=READING.uptime)
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.path.iterdir()} == {
        "clock": 0o600,
        "clock-accepted": 0o600,
    }


def test_what_a_killed_process_has_left_is_no_obstacle(folder: DataFolder) -> None:
    (folder.path / "clock.new").write_bytes(b"half")
    ClockFiles(folder).write(first(READING, None))
    assert known_at(folder, READING) is not None


def test_a_damaged_file_is_named(folder: DataFolder, caplog: pytest.LogCaptureFixture) -> None:
    folder.clock.write_bytes(b"{")
    caplog.set_level(logging.WARNING)
    assert ClockFiles(folder).read() is None
    assert f"`{folder.clock}` cannot be read" in caplog.text


def test_a_file_that_stays_damaged_is_named_once(folder: DataFolder, caplog: pytest.LogCaptureFixture) -> None:
    folder.clock_accepted.write_bytes(b"{")
    caplog.set_level(logging.WARNING)
    files = ClockFiles(folder)
    assert [files.acceptance() for _ in range(3)] == [None] * 3
    assert len(caplog.records) == 1
    folder.clock_accepted.unlink()
    folder.clock_accepted.mkdir()
    assert files.acceptance() is None
    assert len(caplog.records) == 2


@pytest.mark.parametrize("time", [1e300, -5.0])
def test_a_time_that_no_clock_shows_is_damage(
    folder: DataFolder, caplog: pytest.LogCaptureFixture, time: float
) -> None:
    caplog.set_level(logging.WARNING)
    files = ClockFiles(folder)
    for changed in (
        replace(first(READING, None), trusted=time),
        replace(first(READING, None), unsure_since=time),
        first(replace(READING, wall=time), None),
    ):
        files.write(changed)
        assert ClockFiles(folder).read() is None
    files.accept(replace(READING, wall=time))
    assert files.acceptance() is None
    assert "no clock shows" in caplog.text


def test_a_command_accepts_the_clock_and_leaves_a_record(tmp_path: Path, clock: ManualClock) -> None:
    local = LocalDeployment(tmp_path / "data", clock)
    local.deployment.close()
    clock.advance(600)
    local.reopen()
    clock.step(31 * DAY)
    local.deployment.keeper.run()
    opened = OpenFolder(local.settings, clock, system_entropy)
    before = known_at(opened.folder, reading_of(clock))
    assert before is not None
    assert before.doubt() is Doubt.STEPPED
    with pytest.raises(DataFolderError, match="boot_id"):
        accept_clock(opened.folder, opened.trail, Reading(clock.now(), 5.0, ""))
    accept_clock(opened.folder, opened.trail, reading_of(clock))
    after = known_at(opened.folder, reading_of(clock))
    assert after is not None
    assert (after.doubt(), after.trusted) == (None, clock.now())
    opened.close()
    local.deployment.close()


def test_a_command_that_is_interrupted_leaves_a_record_of_that(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    local = LocalDeployment(tmp_path / "data", clock)
    opened = OpenFolder(local.settings, clock, system_entropy)
    monkeypatch.setattr(ClockFiles, "accept", interrupt)
    with pytest.raises(KeyboardInterrupt):
        accept_clock(opened.folder, opened.trail, reading_of(clock))
    made, failed = [each for each in command_records(local.folder) if each["eventName"] == "AcceptClock"]
    assert "errorCode" not in made
    assert (failed["errorCode"], failed["errorMessage"]) == (
        "CommandFailed",
        "interrupted; the change may have been made",
    )
    opened.close()
    local.deployment.close()


def test_the_machine_names_its_start() -> None:
    first_reading, second = (reading_of(SystemClock()) for _ in range(2))
    assert first_reading.boot == second.boot != ""
    assert first_reading.uptime <= second.uptime
