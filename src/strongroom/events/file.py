"""Appends events to a file, a line of JSON for each. Another program may move the file away: then a new one is made."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from strongroom.events.destination import DeliveryError
from strongroom.events.event import Event
from strongroom.whole_files import sync_path


class FileDestination:
    """A file in a folder that exists; it is made with mode 0600. What was taken is on its disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def deliver(self, event: Event) -> None:
        """Append a line, whole or not at all; raises DeliveryError.

        The file is opened each time, because events are rare, and so one that was rotated is never written to.
        """
        try:
            descriptor = os.open(
                self._path,
                os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK,
                0o600,
            )
            try:
                self._append(descriptor, event.encode() + b"\n")
            finally:
                os.close(descriptor)
        except OSError as error:
            raise DeliveryError(f"`{self._path}` cannot be written: {error.strerror or error}") from None

    def close(self) -> None:
        """Do nothing: no file is kept open."""

    def _append(self, descriptor: int, line: bytes) -> None:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise DeliveryError(f"`{self._path}` is not a regular file")
        if found.st_size and os.pread(descriptor, 1, found.st_size - 1) != b"\n":
            # Half a line, left by a crash of the machine: it must not spoil this one.
            line = b"\n" + line
        if os.write(descriptor, line) < len(line):
            with suppress(OSError):
                os.ftruncate(descriptor, found.st_size)
            raise DeliveryError(f"`{self._path}` cannot be written: the disk is full")
        os.fdatasync(descriptor)
        if not found.st_size:
            # The name is new. Of a folder that this user may not list, it cannot be synced.
            with suppress(PermissionError):
                sync_path(self._path.parent)
