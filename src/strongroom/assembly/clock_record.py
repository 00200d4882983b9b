"""What a node knows of the time, in two files of the data folder: ``clock`` and ``clock-accepted``.

The server writes ``clock``, ``strongroom clock accept`` writes the other, so that neither overwrites what the other
has written. Both are replaced whole. A file that is missing or damaged means that nothing is known.
"""

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from strongroom.assembly.data_folder import DataFolder
from strongroom.trusted_time import Reading, TrustedTime

logger = logging.getLogger(__name__)

T = TypeVar("T")


class ClockFiles:
    """The two files. See ``ClockRecord``."""

    def __init__(self, folder: DataFolder) -> None:
        self._known = folder.clock
        self._accepted = folder.clock_accepted

    def read(self) -> TrustedTime | None:
        """Return what was kept; None if there is nothing, or nothing that can be read."""
        return _read(self._known, TrustedTime)

    def write(self, known: TrustedTime) -> None:
        """Keep what is known, in the place of what was kept before; raises OSError."""
        _replace(self._known, msgspec.json.encode(known))

    def acceptance(self) -> Reading | None:
        """Return the clocks as they were when an operator accepted the wall clock last; None if nobody did."""
        return _read(self._accepted, Reading)

    def accept(self, reading: Reading) -> None:
        """Have the server accept the wall clock as it was at a reading; raises OSError."""
        _replace(self._accepted, msgspec.json.encode(reading))


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        logger.warning("`%s` cannot be read, so the time is confirmed anew: %s", path, error)
        return None


def _replace(path: Path, content: bytes) -> None:
    """Write a file, mode 0600. It is complete and on disk when it gets its name."""
    draft = path.with_name(path.name + ".new")
    with suppress(FileNotFoundError):
        draft.unlink()
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
