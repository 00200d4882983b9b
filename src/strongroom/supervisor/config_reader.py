"""Reads what ``config_writer`` sends, in the process that it sends to."""

import os

import msgspec

from strongroom.supervisor.process_slot import ProcessConfig

_MAX_READ = 65536


class ConfigReader:
    """Reads the lines that the supervisor sends through a pipe."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.ended = False
        """Whether the supervisor has closed the pipe, which it does by ending."""
        self._received = bytearray()

    def first(self) -> ProcessConfig | None:
        """Wait for a line and return it; None if the pipe is closed before."""
        while not self.ended:
            if (found := self.next()) is not None:
                return found
        return None

    def next(self) -> ProcessConfig | None:
        """Read once, and return the last line that is whole now; None if there is none."""
        received = os.read(self.descriptor, _MAX_READ)
        self.ended = not received
        self._received += received
        *lines, rest = self._received.split(b"\n")
        self._received = rest
        return msgspec.json.decode(lines[-1], type=ProcessConfig) if lines else None
