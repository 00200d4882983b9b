"""The rounds of the process that sends events: what a fault of the disk must not lose."""

import json
from pathlib import Path

import pytest
from msgspec import structs

from local_deployment import entropy
from server_processes import is_alive, wait_until
from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.event_sending import EventSending
from strongroom.assembly.events import event_statuses, prepare_events, spool_of
from strongroom.clock import ManualClock, SystemClock
from strongroom.event_destinations import EventDestination
from strongroom.events.event import own_event
from strongroom.problems import Problems, Subject
from strongroom.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    data = tmp_path / "data"
    data.mkdir()
    DataFolder(data).node_id.write_text("a1b2c3d4e5f6\n")
    return Settings(data=str(data), events=(EventDestination(f"file:{tmp_path}/events"),))


def sent(settings: Settings, sending: EventSending) -> list[str]:
    """Send what there is, and return the texts of all events that were sent."""
    sending.start()
    sending.stop(60)
    lines = Path(settings.events[0].path).read_text().splitlines()
    return [json.loads(line)["detail"]["text"] for line in lines]


def test_an_event_that_the_disk_does_not_take_is_kept_until_it_does(
    settings: Settings, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    prepare_events(settings, clock)
    folder = DataFolder(settings.folder)
    problems = Problems(folder.problems, "w0")
    sending = EventSending(settings, clock, entropy)
    ready = folder.events / "ready"
    ready.rename(folder.events / "away")
    problems.report(Subject.STORE, "the disk is full")
    caplog.clear()
    sending.look()
    since = clock.now()
    clock.advance(1)
    sending.look()
    assert [message.split(":")[0] for message in caplog.messages] == ["events cannot be queued, trying again"]
    sending.tell()
    (status,) = event_statuses(settings)
    assert status.failing.startswith("events cannot be queued: ")
    assert status.since == since
    # A process that is started now must tell of it as well.
    assert not (folder.events / "problems.json").exists()
    (folder.events / "away").rename(ready)
    sending.look()
    sending.tell()
    assert event_statuses(settings)[0].failing == ""
    assert b"the disk is full" in (folder.events / "problems.json").read_bytes()
    assert sent(settings, sending) == ["the disk is full"]


def test_no_command_outlives_the_process_that_sends(settings: Settings, tmp_path: Path) -> None:
    command = tmp_path / "command"
    command.write_text(f'#!/bin/sh\necho $$ > "{tmp_path}/draft"\nmv "{tmp_path}/draft" "{tmp_path}/pid"\nsleep 600\n')
    command.chmod(0o700)
    settings = structs.replace(settings, events=(EventDestination(f"command:{command}", time_limit=300),))
    clock = SystemClock()
    prepare_events(settings, clock)
    sending = EventSending(settings, clock, entropy)
    spool_of(settings, clock).add(
        own_event("Test", {}, event_id="e", now=clock.now(), account="000000000000", region="us-east-1")
    )
    sending.start()
    sending.look()
    wait_until((tmp_path / "pid").exists)
    sending.stop(0)
    process = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_alive(process))
    # The event waits for the next start.
    (status,) = event_statuses(settings)
    assert (status.waiting, status.failing) == (1, "")


def test_what_waited_for_a_destination_that_was_taken_out_is_counted_in_the_log(
    settings: Settings, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    prepare_events(settings, clock)
    for event_id in "ab":
        spool_of(settings, clock).add(
            own_event("Test", {}, event_id=event_id, now=clock.now(), account="000000000000", region="us-east-1")
        )
        clock.advance(1)
    EventSending(settings, clock, entropy).look()
    others = structs.replace(settings, events=(EventDestination("file:/other"),))
    for _ in range(2):
        EventSending(others, clock, entropy)
    assert [message.rpartition(" ")[2] for message in caplog.messages] == ["2"]
