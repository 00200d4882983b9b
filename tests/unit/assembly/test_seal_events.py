"""Events about seals: a server that waits for one has no process yet that would send them."""

import json
from pathlib import Path

import pytest

from local_deployment import entropy
from server_processes import wait_until
from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.seal_events import SealEvents
from strongroom.clock import SystemClock
from strongroom.event_destinations import EventDestination
from strongroom.settings import Settings


def settings_of(folder: Path, *events: EventDestination) -> Settings:
    data = folder / "data"
    data.mkdir()
    DataFolder(data).node_id.write_text("a1b2c3d4e5f6\n")
    return Settings(data=str(data), events=events)


def test_a_seal_that_does_not_open_is_an_event_at_once_and_one_that_opens_another(tmp_path: Path) -> None:
    file = tmp_path / "events"
    events = SealEvents(settings_of(tmp_path, EventDestination(f"file:{file}")), SystemClock(), entropy)
    events.unavailable("the HSM does not answer")
    wait_until(lambda: file.exists() and file.read_text().endswith("\n"))
    events.unavailable("the HSM has no session")
    events.opened()
    first, second = (json.loads(line) for line in file.read_text().splitlines())
    assert (first["detail-type"], first["detail"]) == (
        "Seal Unavailable",
        {"node": "a1b2c3d4e5f6", "text": "the HSM does not answer"},
    )
    assert second["detail-type"] == "Seal Available"


def test_a_seal_that_opens_at_once_is_no_event(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, EventDestination(f"file:{tmp_path}/events"))
    SealEvents(settings, SystemClock(), entropy).opened()
    quiet = SealEvents(Settings(data=str(tmp_path / "data")), SystemClock(), entropy)
    quiet.unavailable("the HSM does not answer")
    quiet.opened()
    assert not DataFolder(settings.folder).events.exists()


def test_events_that_cannot_be_sent_hinder_no_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_of(tmp_path, EventDestination(f"file:{tmp_path}/events"))
    DataFolder(settings.folder).events.write_text("no folder")
    events = SealEvents(settings, SystemClock(), entropy)
    events.unavailable("the HSM does not answer")
    events.opened()
    assert "no event can be sent about the seals" in caplog.text
