"""What a node knows of the time, in two files of the data folder: ``clock`` and ``clock-accepted``.

The server writes ``clock``, ``strongroom clock accept`` writes the other, so that neither overwrites what the other
has written. Both are replaced whole. A file that is missing or damaged means that nothing is known.
"""

import logging
from pathlib import Path
from typing import TypeVar

import msgspec

from strongroom.assembly.command_trail import CommandTrail
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.audit.cloudtrail import event_time
from strongroom.audit.operator_events import KEY_SOURCE, OperatorEvent
from strongroom.trusted_time import Reading, TrustedTime, accepted, observed
from strongroom.whole_files import replace_file

logger = logging.getLogger(__name__)

T = TypeVar("T", Reading, TrustedTime)

_LATEST = 253_402_300_799.0
"""The last second of the year 9999. A file with a time beyond it, or with a negative one, is damaged."""


class ClockFiles:
    """The two files. See ``ClockRecord``."""

    def __init__(self, folder: DataFolder) -> None:
        self._known = folder.clock
        self._accepted = folder.clock_accepted
        self._warned: dict[Path, str] = {}
        """What was logged last of each file: one of them is read in every round."""

    def read(self) -> TrustedTime | None:
        """Return what was kept; None if there is nothing, or nothing that can be read."""
        return self._read(self._known, TrustedTime)

    def write(self, known: TrustedTime) -> None:
        """Keep what is known, in the place of what was kept before; raises OSError."""
        replace_file(self._known, msgspec.json.encode(known))

    def acceptance(self) -> Reading | None:
        """Return the clocks as they were when an operator accepted the wall clock last; None if none did."""
        return self._read(self._accepted, Reading)

    def accept(self, reading: Reading) -> None:
        """Have the server accept the wall clock as it was at a reading; raises OSError."""
        replace_file(self._accepted, msgspec.json.encode(reading))

    def _read(self, path: Path, kind: type[T]) -> T | None:
        try:
            found = msgspec.json.decode(path.read_bytes(), type=kind)
            _require_plausible(found)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, ValueError) as error:
            if self._warned.get(path) != str(error):
                logger.warning("`%s` cannot be read, so the time is confirmed anew: %s", path, error)
                self._warned[path] = str(error)
            return None
        return found


def known_at(folder: DataFolder, reading: Reading) -> TrustedTime | None:
    """Return what a server would know of the time at a reading; None if none has kept anything yet."""
    files = ClockFiles(folder)
    kept, acceptance = files.read(), files.acceptance()
    if kept is None:
        return None
    known = observed(kept, reading)
    return known if acceptance is None else accepted(known, acceptance)


def accept_clock(folder: DataFolder, trail: CommandTrail, reading: Reading) -> None:
    """Have the server accept the wall clock as it is at a reading, and record that in the audit log.

    Raises DataFolderError if the kernel does not name this start of the machine, and OSError.
    """
    if not reading.boot:
        raise DataFolderError("the kernel has no `/proc/sys/kernel/random/boot_id`, so no clock can be accepted here")
    known = known_at(folder, reading)
    details = {"clock": event_time(reading.wall)}
    if known is not None:
        details["trusted"] = event_time(known.trusted)
    event = OperatorEvent(name="AcceptClock", command="clock accept", source=KEY_SOURCE, details=details)
    with trail.changing(), trail.recording(event):
        ClockFiles(folder).accept(reading)


def _require_plausible(found: Reading | TrustedTime) -> None:
    """Raise ValueError if a time cannot have been written by a server."""
    if isinstance(found, TrustedTime):
        _require_plausible(found.reading)
        _require_plausible(found.agreeing)
        times = [found.trusted, found.wall_before, found.began, found.unsure_since or 0.0]
    else:
        times = [found.wall]
        if not abs(found.uptime) <= _LATEST:
            raise ValueError("it has an uptime that no machine has")
    if not all(0 <= each <= _LATEST for each in times):
        raise ValueError("it has a time that no clock shows")
