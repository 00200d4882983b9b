"""Reads what ``config_writer`` sends, in the worker."""

import os

import msgspec

from strongroom.supervisor.worker_slot import WorkerConfig

_MAX_READ = 65536


class ConfigReader:
    """Reads the lines that the supervisor sends through a pipe."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.ended = False
        """Whether the supervisor has closed the pipe, which it does by ending."""
        self._received = bytearray()

    def first(self) -> WorkerConfig | None:
        """Wait for a line and return it; None if the pipe is closed before."""
        while not self.ended:
            if (found := self.next()) is not None:
                return found
        return None

    def next(self) -> WorkerConfig | None:
        """Read once, and return the last line that is whole now; None if there is none."""
        received = os.read(self.descriptor, _MAX_READ)
        self.ended = not received
        self._received += received
        *lines, rest = self._received.split(b"\n")
        self._received = rest
        return msgspec.json.decode(lines[-1], type=WorkerConfig) if lines else None
