"""Events about seals that are unavailable when a server starts: nothing else sends events by then."""

import logging

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.event_sending import EventSending
from strongroom.assembly.events import spool_of
from strongroom.assembly.node import read_node_id
from strongroom.audit.service_events import event_id_on
from strongroom.clock import Clock
from strongroom.entropy import Entropy
from strongroom.event_destinations import SEAL_AVAILABLE, SEAL_UNAVAILABLE
from strongroom.events.event import own_event
from strongroom.settings import Settings, SettingsError

logger = logging.getLogger(__name__)

_LAST_WAIT = 5.0
"""For how many seconds a start waits for the last event to be sent. If it is not, the event sender does it."""


class SealEvents:
    """Tells once that no seal opens, and once that one has opened. Nothing raises: a start must not fail for this."""

    def __init__(self, settings: Settings, clock: Clock, entropy: Entropy) -> None:
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self._spool = spool_of(settings, clock)
        self._sending: EventSending | None = None
        self._since = ""

    def unavailable(self, reason: str) -> None:
        """Tell that no seal opens, and why, unless that was told; send what waits."""
        if not self._settings.events:
            return
        if not self._since:
            self._since = f"{self._clock.now():.6f}"
            try:
                self._sending = EventSending(self._settings, self._clock, self._entropy)
            except (SettingsError, DataFolderError, OSError) as error:
                logger.warning("no event can be sent about the seals: %s", error)
                return
            self._sending.start()
            self._add(SEAL_UNAVAILABLE, reason)
        if self._sending is not None:
            self._sending.look()
            self._sending.tell()

    def opened(self) -> None:
        """Tell that a seal has opened, if it was told that none does."""
        if self._sending is not None:
            self._add(SEAL_AVAILABLE, "a seal has opened")
            self._sending.stop(_LAST_WAIT)

    def _add(self, detail_type: str, text: str) -> None:
        try:
            node = str(read_node_id(DataFolder(self._settings.folder)) or "")
        except DataFolderError:
            node = ""
        self._spool.add(
            own_event(
                detail_type,
                {"node": node, "text": text},
                event_id=event_id_on(self._since, detail_type, node),
                now=self._clock.now(),
                account=self._settings.account,
                region=self._settings.regions[0],
            )
        )
