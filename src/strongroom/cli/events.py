"""``strongroom events``: what is sent to other programs, and how that goes."""

from pathlib import Path

import click
import msgspec

from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.events import destination_of, event_statuses, require_event_destinations
from strongroom.audit.cloudtrail import event_time
from strongroom.cli.data_folder import readable_errors
from strongroom.cli.options import config_option, data_option, read_settings
from strongroom.clock import SystemClock
from strongroom.entropy import UuidBatch, system_entropy
from strongroom.event_destinations import TEST
from strongroom.events.destination import DeliveryError
from strongroom.events.event import own_event
from strongroom.events.sender import Status
from strongroom.settings import Settings


@click.group()
def events() -> None:
    """Send events to other programs: docs/events.md."""


@events.command("test")
@data_option
@config_option
def send_test(*, data: str | None, config: Path | None) -> None:
    """Send a test event to each destination of the setting events now, and say how it went.

    The event is not queued, and no server need run. Exits with 1 if a destination has not taken it.
    """
    with readable_errors():
        settings = _settings(data, config)
        require_event_destinations(settings)
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
            try:
                destination.deliver(event)
            except DeliveryError as error:
                failed = True
                click.echo(f"{each.shown}: failed: {error}")
            else:
                click.echo(f"{each.shown}: taken, id {event.id}")
            finally:
                destination.close()
    if failed:
        raise SystemExit(1)


@events.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object rather than lines of text.")
@data_option
@config_option
def status(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """Show what waits for each destination, and how the last attempts went. Exits with 1 if one fails."""
    with readable_errors():
        found = event_statuses(_settings(data, config))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode({"destinations": found}), indent=2).decode())
    else:
        for each in found:
            _show(each)
    if any(each.failing for each in found):
        raise SystemExit(1)


def _settings(data: str | None, config: Path | None) -> Settings:
    settings = read_settings(config, data=data)
    if not settings.events:
        raise DataFolderError("events are sent nowhere; see the setting `events`")
    return settings


def _show(found: Status) -> None:
    click.echo(found.to)
    last = f", the last at {event_time(found.last_sent)}" if found.last_sent else ""
    click.echo(f"  {found.sent} sent since the start of the server{last}")
    if found.waiting or found.dropped:
        click.echo(f"  {found.waiting} waiting, {found.dropped} dropped")
    if found.failing:
        click.echo(f"  fails since {event_time(found.since)}: {found.failing}")
