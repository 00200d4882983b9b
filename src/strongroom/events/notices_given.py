"""Which notices a node has given, in a file, so that a restart does not repeat them."""

import logging
from pathlib import Path

import msgspec

from strongroom.clock import DAY
from strongroom.whole_files import read_regular, replace_file

logger = logging.getLogger(__name__)

_KEPT = DAY
"""For how many seconds after its date a notice is remembered: clocks of nodes differ."""


class NoticesGiven:
    """The ids of notices, each with the date that it was about, in epoch seconds. It forgets those whose date is past.

    If the file is lost or damaged, notices are given again, under the same ids.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._dates: dict[str, float] | None = None
        self._changed = False

    def has(self, event_id: str) -> bool:
        """Tell whether a notice was given."""
        return event_id in self._loaded()

    def add(self, event_id: str, date: float) -> None:
        """Note that a notice was given."""
        self._loaded()[event_id] = date
        self._changed = True

    def save(self, now: float) -> None:
        """Write the file, if something was added; a fault is logged."""
        if not self._changed:
            return
        self._dates = {each: date for each, date in self._loaded().items() if date > now - _KEPT}
        try:
            replace_file(self._path, msgspec.json.encode(self._dates))
        except OSError as error:
            logger.warning("cannot write `%s`; a restart repeats some events: %s", self._path, error.strerror)
            return
        self._changed = False

    def _loaded(self) -> dict[str, float]:
        if self._dates is None:
            try:
                self._dates = msgspec.json.decode(read_regular(self._path), type=dict[str, float])
            except FileNotFoundError:
                self._dates = {}
            except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
                logger.warning("`%s` cannot be read; some events are repeated: %s", self._path, error)
                self._dates = {}
        return self._dates
