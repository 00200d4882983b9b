"""``strongroom events``: what is sent to other programs, and how that goes."""

from pathlib import Path

import click

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.events import destination_of, event_statuses, require_event_destinations
from strongroom.audit.cloudtrail import event_time
from strongroom.cli.data_folder import readable_errors
from strongroom.cli.groups import Group
from strongroom.cli.options import config_option, data_option, read_settings
from strongroom.cli.output import Question, json_lines_option, json_option, show_json, show_json_lines, with_nulls
from strongroom.clock import SystemClock
from strongroom.entropy import UuidBatch, system_entropy
from strongroom.event_destinations import TEST
from strongroom.events.destination import DeliveryError
from strongroom.events.event import own_event
from strongroom.events.sender import Status
from strongroom.settings import Settings


@click.group(cls=Group)
def events() -> None:
    """Send events to other programs: docs/events.md."""


@events.command("test", cls=Question)
@json_lines_option
@data_option
@config_option
def send_test(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """Send a test event to each destination of the setting events now, and say how it went.

    The event is not queued, and no server need run. Exits with 0 if all have taken it, with 1 if one has not, and with
    2 if that cannot be tried.
    """
    with readable_errors():
        settings = _settings(data, config)
        require_event_destinations(settings)
        folder = DataFolder(settings.folder)
        if folder.path.exists():
            # The server of another user could not write to a file that this one makes.
            folder.require_private()
        clock = SystemClock()
        event_id = UuidBatch(system_entropy)
        failed = False
        for each in settings.events:
            event = own_event(
                TEST,
                {"text": "This is a test of the destination."},
                event_id=event_id(),
                now=clock.now(),
                account=settings.account,
                region=settings.regions[0],
            )
            destination = destination_of(each, settings, clock)
            reason = ""
            try:
                destination.deliver(event)
            except DeliveryError as error:
                failed = True
                reason = str(error)
            finally:
                destination.close()
            if as_json:
                show_json_lines([{"to": each.shown, "id": event.id, "failed": reason or None}])
            else:
                click.echo(f"{each.shown}: failed: {reason}" if reason else f"{each.shown}: taken, id {event.id}")
    if failed:
        raise SystemExit(1)


@events.command(cls=Question)
@json_option
@data_option
@config_option
def status(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """Show what waits for each destination, and how the last attempts went.

    Exits with 0 if none fails, with 1 if one does, or if events wait and no server sends them, and with 2 if that
    cannot be known.
    """
    now = SystemClock.now()
    with readable_errors():
        found = event_statuses(_settings(data, config))
    if as_json:
        show_json({"destinations": [with_nulls(each, "failing", "since", "last_sent", "at") for each in found]})
    else:
        for each in found:
            _show(each, now)
    if any(each.failing or (each.waiting and each.is_stale(now)) for each in found):
        raise SystemExit(1)


def _settings(data: str | None, config: Path | None) -> Settings:
    settings = read_settings(config, data=data)
    if not settings.events:
        raise DataFolderError("events are sent nowhere; see the setting `events`")
    return settings


def _show(found: Status, now: float) -> None:
    click.echo(found.to)
    last = f", the last at {event_time(found.last_sent)}" if found.last_sent else ""
    click.echo(f"  {found.sent} sent since the start of the server{last}")
    if found.waiting or found.dropped:
        click.echo(f"  {found.waiting} waiting, {found.dropped} dropped")
    if found.failing:
        click.echo(f"  fails since {event_time(found.since)}: {found.failing}")
    if found.is_stale(now):
        click.echo(f"  no server sends{f' since {event_time(found.at)}' if found.at else ''}")
