"""The work of the process that sends events: it finds those of the node, and has them sent."""

import logging
from collections import deque
from threading import Thread

import msgspec

from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.events import open_senders, spool_of, tell_event_status
from strongroom.assembly.node import require_node_id
from strongroom.clock import Clock
from strongroom.entropy import Entropy
from strongroom.events.denials import BurstCounter, DenialWatch
from strongroom.events.distribution import distribute
from strongroom.events.event import Event
from strongroom.events.problem_watch import KnownProblem, ProblemWatch
from strongroom.problems import Subject, problems_in
from strongroom.settings import Settings
from strongroom.store.audit.segment_source import Source
from strongroom.whole_files import read_regular, replace_file

logger = logging.getLogger(__name__)

_SHORT = 0.05
_MOST_FOUND = 1000
"""How many events are kept in memory while the disk does not take them; the oldest are dropped first."""


class EventSending:
    """Threads that send, and what this thread does in each round. It opens neither the database nor a key."""

    def __init__(self, settings: Settings, clock: Clock, entropy: Entropy) -> None:
        """Prepare to send; raises SettingsError, DataFolderError, OSError."""
        folder = DataFolder(settings.folder)
        self._settings = settings
        self._clock = clock
        self._spool = spool_of(settings, clock)
        self._senders = open_senders(settings, clock, entropy)
        self._threads = [Thread(target=each.run, name="events", daemon=True) for each in self._senders]
        self._denials = None
        if settings.events_denied:
            counter = BurstCounter(settings.events_denied, settings.events_denied_window)
            self._denials = DenialWatch(Source(folder.audit, clock.now), counter, settings.account, clock.now)
        place = {"node": str(require_node_id(folder)), "account": settings.account, "region": settings.regions[0]}
        self._known = folder.events / "problems.json"
        self._problems = ProblemWatch(lambda: problems_in(folder.problems), self._told(), place, clock)
        self._found: deque[Event] = deque(maxlen=_MOST_FOUND)
        """Events that are not in the spool yet."""
        self._has_news = False
        """Whether there are events about problems that the file of known problems does not have yet."""
        self._failing: OSError | None = None
        self._failing_since = 0.0

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def look(self) -> None:
        """Find new events, and queue them. A fault of the disk is logged, and tried again: no event is lost by it."""
        failing: OSError | None = None
        # Each in any case: that a destination takes events may be what makes room on the disk.
        for step in (self._find, self._keep, self._distribute):
            try:
                step()
            except OSError as error:
                failing = failing or error
        if failing is not None:
            if self._failing is None:
                self._failing_since = self._clock.now()
            # The name of the file is another one each time.
            if self._failing is None or failing.errno != self._failing.errno:
                logger.error("events cannot be queued, trying again: %s", failing)
        self._failing = failing

    def tell(self) -> None:
        """Write how it is going, for the workers and for commands."""
        for each in self._senders:
            status = each.status()
            if self._failing and not status.failing:
                text = f"events cannot be queued: {self._failing}"
                status = msgspec.structs.replace(status, failing=text, since=self._failing_since)
            tell_event_status(self._settings, each.setting, status)

    def stop(self, seconds: float) -> None:
        """Queue what is there, and send for some seconds at most. Nothing is sent from here afterwards."""
        end = self._clock.timer() + seconds
        self.look()
        while self._spool.ready() and not self._failing and self._clock.timer() < end:
            self.look()
        for each in self._senders:
            each.stop()
        for thread in self._threads:
            thread.join(max(_SHORT, end - self._clock.timer()))
        for each in self._senders:
            each.abandon()
        for thread in self._threads:
            thread.join(_SHORT)
        self.tell()

    def _find(self) -> None:
        for event in self._problems.look():
            self._found.append(event)
            self._has_news = True
        if self._denials is not None:
            self._found.extend(self._denials.look())

    def _keep(self) -> None:
        while self._found:
            self._spool.put(self._found[0])
            self._found.popleft()
        if self._has_news:
            # Not before its events are kept: after a restart it decides which are told of again.
            replace_file(self._known, msgspec.json.encode(self._problems.told), durable=False)
            self._has_news = False

    def _distribute(self) -> None:
        distribute(self._spool, self._senders)

    def _told(self) -> dict[Subject, KnownProblem]:
        try:
            return msgspec.json.decode(read_regular(self._known), type=dict[Subject, KnownProblem])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return {}
