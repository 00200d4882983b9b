"""What a worker does for events: it puts those of changes on their way, and tells of dates beforehand."""

from collections.abc import Callable
from functools import partial

from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.events import spool_of
from strongroom.clock import Clock
from strongroom.events.key_events import KeyEvents, NoKeyEvents, happened
from strongroom.events.notices_given import NoticesGiven
from strongroom.maintenance.notices import Notices
from strongroom.settings import Settings
from strongroom.store.protocol import Readable


def key_events_of(settings: Settings, clock: Clock) -> KeyEvents:
    """Return where the events of changes of keys go."""
    return spool_of(settings, clock) if settings.events else NoKeyEvents()


def settling_of(settings: Settings, store: Readable, clock: Clock) -> Callable[[], None] | None:
    """Return what decides about events that a crash has left undecided; None if there are no events."""
    if not settings.events:
        return None
    spool = spool_of(settings, clock)

    def settle() -> None:
        if spool.is_undecided():
            with store.read() as reader:
                spool.settle(partial(happened, reader))

    return settle


def notices_of(settings: Settings, store: Readable, clock: Clock) -> Notices | None:
    """Return what tells of dates beforehand; None if there are no events."""
    if not settings.events:
        return None
    given = NoticesGiven(DataFolder(settings.folder).events / "notices.json")
    return Notices(store, settings.events_notice_days, given, spool_of(settings, clock).add, clock)
