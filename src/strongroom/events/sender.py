"""Sends the events of one queue to its destination, on a thread of its own.

An event leaves the queue when the destination has taken it, so each arrives at least once. After a failure the same
event is tried again, after ever longer pauses that are not the same for all senders. One that a destination has not
taken within three days is dropped.
"""

import logging
import threading
from contextlib import suppress
from pathlib import Path

import msgspec

from strongroom.clock import DAY, Clock
from strongroom.entropy import Entropy
from strongroom.event_destinations import EventDestination
from strongroom.events.destination import DeliveryError, Destination
from strongroom.events.event import Event, decode
from strongroom.events.queue import Queue
from strongroom.whole_files import read_regular

logger = logging.getLogger(__name__)

_LOOK = 1.0
_BATCH = 100
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
_GIVEN_UP_AFTER = 3 * DAY
_TOLD_WITHIN = 300.0
"""How old a status may be, in seconds, of a process that sends. It writes one every second."""


class Status(msgspec.Struct, frozen=True):
    """How sending to one destination goes. Times are epoch seconds, 0 for never.

    ``sent``, ``failures`` and ``dropped`` count since the process has started. ``failing`` is why the last attempt
    failed, empty if it did not; ``since`` is when that began.
    """

    to: str
    """The destination, as people are shown it."""
    waiting: int = 0
    sent: int = 0
    failures: int = 0
    dropped: int = 0
    failing: str = ""
    since: float = 0.0
    last_sent: float = 0.0
    at: float = 0.0
    """When this was written."""

    def is_stale(self, now: float) -> bool:
        """Tell whether nothing has sent for a while; ``now`` is in epoch seconds."""
        return abs(now - self.at) > _TOLD_WITHIN


class Sender:
    """Sends to one destination. ``run`` belongs to its thread; all else is called by one other."""

    def __init__(
        self, setting: EventDestination, destination: Destination, queue: Queue, clock: Clock, entropy: Entropy
    ) -> None:
        self.to = setting.shown
        self.setting = setting
        self._destination = destination
        self._queue = queue
        self._clock = clock
        self._entropy = entropy
        self._wanted = threading.Event()
        self._ending = False
        self._abandoned = False
        self._unreadable = set[str]()
        """The names of files that cannot be read, and are left until the next start."""
        self._dropped_before = 0
        self._status = Status(setting.shown)

    def offer(self, spooled: Path, event: Event) -> None:
        """Queue an event of the spool, if the destination takes such; raises OSError."""
        if not self.setting.takes(event.detail_type):
            return
        dropped = self._queue.put(spooled)
        if dropped:
            logger.warning("too many events wait for %s; the oldest %d are dropped", self.to, dropped)
            self._dropped_before += dropped
        self._wanted.set()

    def run(self) -> None:
        """Send until ``stop``; then, until the queue is empty or the destination fails."""
        pause = _FIRST_PAUSE
        while True:
            try:
                sent = self._send_some()
            except Exception as error:  # noqa: BLE001 - whatever it is, this thread must go on
                if self._abandoned:
                    break
                self._fail(error)
                if self._ending:
                    break
                self._wait(self._jittered(pause), for_more=False)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            if not sent:
                if self._ending:
                    break
                self._wait(_LOOK)
        self._destination.close()

    def stop(self) -> None:
        """End once everything is sent, or the destination fails."""
        self._ending = True
        self._wanted.set()

    def abandon(self) -> None:
        """Begin no other delivery, and end a command that runs: another process may send the same events now."""
        self._abandoned = True
        self.stop()
        self._destination.close()

    def status(self) -> Status:
        """Return how it is going now."""
        waiting = 0
        with suppress(OSError):
            waiting = len(self._queue.waiting())
        found = self._status
        return msgspec.structs.replace(
            found, waiting=waiting, dropped=found.dropped + self._dropped_before, at=self._clock.now()
        )

    def _send_some(self) -> bool:
        """Send the oldest events; return False if there are none. Raises DeliveryError, OSError."""
        waiting = [path for path in self._queue.waiting() if path.name not in self._unreadable]
        for path in waiting[:_BATCH]:
            if self._abandoned:
                return False
            content = self._content(path)
            if content is not None:
                self._send(path, content)
        return bool(waiting)

    def _content(self, path: Path) -> bytes | None:
        """Return what is in a file of the queue; None if there is nothing to send."""
        try:
            return read_regular(path)
        except FileNotFoundError:
            # It was dropped to make room.
            return None
        except OSError as error:
            logger.error("an event for %s cannot be read, and is left out: %s", self.to, error)  # noqa: TRY400 - one line is enough
            self._unreadable.add(path.name)
            return None

    def _send(self, path: Path, content: bytes) -> None:
        """Send one event, or give it up; raises DeliveryError, OSError."""
        try:
            event = decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._drop(path, "it is damaged")
            return
        if event.age(self._clock.now()) > _GIVEN_UP_AFTER:
            self._drop(path, "it was not taken within three days")
            return
        self._destination.deliver(event)
        path.unlink(missing_ok=True)
        self._taken()

    def _taken(self) -> None:
        found = self._status
        if found.failing:
            logger.info("%s takes events again", self.to)
        self._status = msgspec.structs.replace(
            found, sent=found.sent + 1, failing="", since=0.0, last_sent=self._clock.now()
        )

    def _drop(self, path: Path, why: str) -> None:
        logger.warning("an event for %s is dropped (%s): `%s`", self.to, why, path.name)
        path.unlink(missing_ok=True)
        self._status = msgspec.structs.replace(self._status, dropped=self._status.dropped + 1)

    def _fail(self, error: Exception) -> None:
        self._destination.close()
        found = self._status
        match error:
            case DeliveryError():
                text = str(error)
            case OSError():
                text = f"its queue cannot be read: {error}"
            case _:
                logger.error("sending events to %s has failed", self.to, exc_info=error)
                text = f"{type(error).__name__}: see the log"
        if not found.failing:
            logger.error("%s does not take events, trying again: %s", self.to, text)
        since = found.since if found.failing else self._clock.now()
        self._status = msgspec.structs.replace(found, failing=text, since=since, failures=found.failures + 1)

    def _jittered(self, pause: float) -> float:
        """Return a time between half the pause and all of it."""
        return pause * (0.5 + int.from_bytes(self._entropy(2), "big") / 131_072)

    def _wait(self, seconds: float, *, for_more: bool = True) -> None:
        end = self._clock.timer() + seconds
        while not self._ending and (left := end - self._clock.timer()) > 0:
            self._wanted.wait(min(left, _LOOK) if for_more else min(left, 0.2))
            if self._wanted.is_set():
                self._wanted.clear()
                if for_more:
                    return
