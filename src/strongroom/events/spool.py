"""The events of a node on their way to the process that sends them: a file for each, in ``DATA/events``.

``intended/ID`` is an event whose change may not be committed yet, ``ready/TIME-ID`` one that happened. A rename takes
it from one to the other, so every process of the node can do that, and of two that do it one succeeds. What a crash
leaves in ``intended`` is decided by what is stored (``key_events.happened``).

Nothing here but ``put`` raises because of a disk: the change that an event is about is more important. It is logged.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from strongroom.events.event import Event, decode
from strongroom.events.key_events import KeyEvent
from strongroom.whole_files import read_regular, replace_file

logger = logging.getLogger(__name__)

_FORGOTTEN_AFTER = 600.0
"""After how many seconds a change that is not stored is taken to have failed. No commit takes that long."""
_DRAFT = ".new"


class Spool:
    """The spool in a folder. Safe to use from several threads and processes. ``now`` returns epoch seconds."""

    def __init__(self, folder: Path, limit: int, now: Callable[[], float]) -> None:
        """Keep at most ``limit`` events until they are taken; the oldest are dropped first."""
        self._intended = folder / "intended"
        self._ready = _ready_in(folder)
        self._limit = limit
        self._now = now

    def prepare(self) -> None:
        """Make the folders; raises OSError."""
        for each in (self._intended.parent, self._intended, self._ready):
            each.mkdir(mode=0o700, exist_ok=True)

    def clear_drafts(self) -> None:
        """Remove what killed processes have left half written; raises OSError. Only while no process writes."""
        for folder in (self._intended, self._ready):
            for path in folder.glob(f"*{_DRAFT}"):
                path.unlink(missing_ok=True)

    def intend(self, events: tuple[KeyEvent, ...]) -> None:
        """Keep events on disk, whose change is about to be committed."""
        for each in events:
            event = each.at(self._now())
            try:
                replace_file(self._intended / event.id, event.encode())
            except OSError as error:
                _log_loss(event, error)

    def commit(self, events: tuple[KeyEvent, ...]) -> None:
        """Have events sent whose change was committed."""
        for each in events:
            self._publish(self._intended / each.at(self._now()).id)

    def withdraw(self, events: tuple[KeyEvent, ...]) -> None:
        """Forget events whose change was not committed."""
        for each in events:
            with suppress(OSError):
                (self._intended / each.at(self._now()).id).unlink(missing_ok=True)

    def add(self, event: Event) -> bool:
        """Have an event sent that has happened; return False if it could not be kept."""
        try:
            self.put(event)
        except OSError as error:
            _log_loss(event, error)
            return False
        return True

    def put(self, event: Event) -> None:
        """Have an event sent that has happened; raises OSError, for a caller that tries again."""
        self._make_room()
        replace_file(self._ready / self._name(event.id), event.encode())

    def settle(self, happened: Callable[[Event], bool]) -> None:
        """Decide about the events of changes that no process has told the outcome of; raises what ``happened`` does."""
        for path in _files(self._intended):
            try:
                event = decode(read_regular(path))
            except OSError:
                # A process has just done it.
                continue
            except (msgspec.DecodeError, UnicodeDecodeError):
                # A crash of the machine has left half of it.
                logger.warning("an event is damaged, and dropped: `%s`", path)
                path.unlink(missing_ok=True)
                continue
            if happened(event):
                self._publish(path)
            elif event.age(self._now()) > _FORGOTTEN_AFTER:
                path.unlink(missing_ok=True)

    def is_undecided(self) -> bool:
        """Tell whether there is an event of which ``settle`` has to decide."""
        return bool(_files(self._intended))

    def ready(self) -> list[Path]:
        """Return the files of the events that are to be sent, the oldest first."""
        return _files(self._ready)

    def _publish(self, intended: Path) -> None:
        try:
            self._make_room()
            intended.rename(self._ready / self._name(intended.name))
        except FileNotFoundError:
            # Another process has decided it, or it could not be kept.
            return
        except OSError as error:
            logger.warning("an event cannot be sent yet: `%s`: %s", intended, error.strerror)

    def _name(self, event_id: str) -> str:
        return f"{int(self._now() * 1e6):017d}-{event_id}"

    def _make_room(self) -> None:
        """Drop the oldest events if too many wait: nothing takes them."""
        waiting = self.ready()
        for path in waiting[: max(0, len(waiting) + 1 - self._limit)]:
            path.unlink(missing_ok=True)
            logger.warning("too many events wait to be sent; the oldest is dropped: `%s`", path.name)


def waiting_in(folder: Path) -> list[Path]:
    """Return the files of the events that are to be sent from the spool in a folder, the oldest first."""
    return _files(_ready_in(folder))


def _ready_in(folder: Path) -> Path:
    return folder / "ready"


def _files(folder: Path) -> list[Path]:
    """Return the events in a folder in the order of their names; none if it cannot be read."""

    def found() -> Iterator[Path]:
        with suppress(OSError):
            yield from (each for each in folder.iterdir() if each.suffix != _DRAFT)

    return sorted(found())


def _log_loss(event: Event, error: OSError) -> None:
    logger.warning("the event %s (%s) is lost: %s", event.id, event.detail_type, error.strerror)
