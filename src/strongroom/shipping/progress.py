"""How far each destination has come: small files in ``DATA/shipping``, which the server and commands read.

``NAME.json`` has the places of one destination, durably: shipping goes on from there after a crash. Lines after them
may have been shipped already, and are shipped again. ``NAME.status`` tells how it is going. ``NAME`` is a hash of the
destination's address.
"""

from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from strongroom.store.audit.segment_source import Place, comes_after
from strongroom.store.audit.segments import Segment
from strongroom.whole_files import read_regular, replace_file


class DamagedProgressError(Exception):
    """A file with the places of a destination cannot be read; the message says what to do."""


class Status(msgspec.Struct, frozen=True):
    """How shipping to one destination goes. Times are epoch seconds, 0 for never.

    ``lines``, ``size`` (in bytes) and ``failures`` count since the process has started. ``failing`` is why the last
    attempt failed, empty if it did not; ``since`` is when that began.
    """

    to: str
    required: bool = False
    lines: int = 0
    size: int = 0
    failures: int = 0
    failing: str = ""
    since: float = 0.0
    last_taken: float = 0.0
    lag: float = 0.0
    """How many seconds the oldest line waits that was not taken."""
    at: float = 0.0
    """When this was written."""


class ProgressFile(msgspec.Struct):
    """The content of the file with places."""

    to: str
    places: dict[str, Place]


class Progress:
    """The files of one destination in a folder, which is made if needed."""

    def __init__(self, folder: Path, to: str) -> None:
        self._folder = folder
        self._to = to
        name = sha256(to.encode()).hexdigest()[:16]
        self._places = folder / f"{name}.json"
        self._status = folder / f"{name}.status"

    def load(self) -> dict[str, Place]:
        """Return the place of each writer; raises DamagedProgressError, OSError."""
        try:
            content = read_regular(self._places)
        except FileNotFoundError:
            return {}
        try:
            return msgspec.json.decode(content, type=ProgressFile).places
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise DamagedProgressError(
                f"`{self._places}` is damaged; remove it, and all that is in DATA/audit is shipped to {self._to} again"
            ) from None

    def save(self, places: Mapping[str, Place]) -> None:
        """Save the places, so that they survive a crash of the machine; raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        replace_file(self._places, msgspec.json.encode(ProgressFile(self._to, dict(places))))

    def status(self) -> Status | None:
        """Return what was told last; None if there is nothing that can be read."""
        try:
            return msgspec.json.decode(read_regular(self._status), type=Status)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def tell(self, status: Status) -> None:
        """Write how it is going. Where that fails, others know it later."""
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            replace_file(self._status, msgspec.json.encode(status), durable=False)


def has_taken(places: dict[str, Place], segment: Segment) -> bool:
    """Tell whether a destination that has come to these places has the whole of a complete segment.

    One that was begun later has not been taken, also if lines with its numbers were: the machine has lost those.
    """
    place = places.get(segment.writer)
    if place is None:
        return False
    if place.segment == segment.name:
        return place.complete
    is_here = segment.path.with_name(place.segment).exists()
    return not comes_after(segment, place, is_here=is_here)
