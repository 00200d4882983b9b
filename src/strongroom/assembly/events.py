"""Makes the destinations of events that the settings name, and what brings events to them."""

import logging
import os
import ssl
from contextlib import suppress
from functools import partial
from pathlib import Path
from shutil import rmtree

import msgspec

from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.destination_tls import destination_context
from strongroom.clock import Clock
from strongroom.entropy import Entropy
from strongroom.event_destinations import EventDestination
from strongroom.events.command import CommandDestination
from strongroom.events.destination import Destination
from strongroom.events.file import FileDestination
from strongroom.events.queue import Queue, name_of
from strongroom.events.sender import Sender, Status
from strongroom.events.spool import Spool, waiting_in
from strongroom.events.webhook import SecretError, WebhookDestination, read_secrets
from strongroom.http.outgoing import Connections, Deadline
from strongroom.settings import Settings, SettingsError
from strongroom.whole_files import read_regular, replace_file

logger = logging.getLogger(__name__)


def require_event_destinations(settings: Settings) -> None:
    """Read the certificates and secrets of all destinations; raises SettingsError.

    Files need not be there, nor servers answer: that is seen, and tried again, while events are sent.
    """
    for each in settings.events:
        if each.kind == "webhook":
            _context(each, settings)
            try:
                read_secrets(_secret_file(each))
            except SecretError as error:
                raise SettingsError(f"`secret-file` of `{each.shown}` in `events`: {error}") from None
        elif each.kind == "command" and not os.access(each.path, os.X_OK):
            raise SettingsError(f"`{each.to}` in `events` cannot be run: there is no such file, or it is no program")


def prepare_events(settings: Settings, clock: Clock) -> None:
    """Make the folders of events, if there are destinations, before any process uses them; raises OSError."""
    if settings.events:
        spool = spool_of(settings, clock)
        spool.prepare()
        spool.clear_drafts()


def spool_of(settings: Settings, clock: Clock) -> Spool:
    """Return where the processes of a node put events."""
    return Spool(DataFolder(settings.folder).events, settings.events_queue, clock.now)


def destination_of(found: EventDestination, settings: Settings, clock: Clock) -> Destination:
    """Return what delivers events to a destination; raises SettingsError."""
    match found.kind:
        case "file":
            return FileDestination(Path(found.path))
        case "command":
            return CommandDestination((found.path, *found.arguments), found.time_limit, os.environ, clock.timer)
        case "webhook":
            return WebhookDestination(
                found.url,
                _secret_file(found),
                _context(found, settings),
                Connections(clock.timer),
                clock.now,
                partial(Deadline, clock.timer, found.time_limit),
            )


def open_senders(settings: Settings, clock: Clock, entropy: Entropy) -> list[Sender]:
    """Return a sender for each destination; raises SettingsError, OSError.

    The queues of destinations that are no longer in the settings are removed.
    """
    spool_of(settings, clock).prepare()
    for each in settings.events:
        _queue(settings, each).prepare()
    kept = {name_of(each.to) for each in settings.events}
    for path in _queues(settings).iterdir():
        if path.name not in kept:
            waiting = len(Queue(path, settings.events_queue).waiting())
            if waiting:
                # It is not known any more which address that was.
                text = "a destination is no longer in `events`; what waited for it is dropped: %d"
                logger.warning(text, waiting)
            rmtree(path)
    return [
        Sender(each, destination_of(each, settings, clock), _queue(settings, each), clock, entropy)
        for each in settings.events
    ]


def tell_event_status(settings: Settings, found: EventDestination, status: Status) -> None:
    """Write how sending to a destination goes. Where that fails, others know it later."""
    with suppress(OSError):
        replace_file(_status_file(settings, found), msgspec.json.encode(status), durable=False)


def event_statuses(settings: Settings) -> list[Status]:
    """Return how sending to each destination goes, as was told last; what waits is counted now.

    What is not in the queues yet counts for all destinations.
    """
    found = []
    ready = len(waiting_in(DataFolder(settings.folder).events))
    for each in settings.events:
        try:
            status = msgspec.json.decode(read_regular(_status_file(settings, each)), type=Status)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            status = Status(each.shown)
        with suppress(OSError):
            status = msgspec.structs.replace(status, waiting=ready + len(_queue(settings, each).waiting()))
        found.append(status)
    return found


def _queues(settings: Settings) -> Path:
    return DataFolder(settings.folder).events / "queues"


def _queue(settings: Settings, found: EventDestination) -> Queue:
    return Queue(_queues(settings) / name_of(found.to), settings.events_queue)


def _status_file(settings: Settings, found: EventDestination) -> Path:
    return DataFolder(settings.folder).events / f"{name_of(found.to)}.status"


def _secret_file(found: EventDestination) -> Path:
    return Path(found.secret_file or "")


def _context(found: EventDestination, settings: Settings) -> ssl.SSLContext:
    return destination_context(found, settings, f"`{found.shown}` in `events`")
