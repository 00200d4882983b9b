"""What every process under the supervisor does first, and how it tells the supervisor that it lives, or why it ends.

It reads its settings from standard input, and writes heartbeats to standard output.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from strongroom.cli.data_folder import readable_errors
from strongroom.supervisor.config_reader import ConfigReader
from strongroom.supervisor.hardening import end_with_parent, harden_process, lock_memory
from strongroom.supervisor.process_slot import FAILURE, HEARTBEAT, MAX_FAILURE
from strongroom.supervisor.signals import survive_signals
from strongroom.telemetry.log_queue import LogQueue
from strongroom.telemetry.logs import start_logging


class SupervisedProcess:
    """This process. It ends at once if its supervisor has ended already."""

    def __init__(self) -> None:
        self._heartbeats = _reserve_standard_output()
        self.settings = ConfigReader(0)
        """Where settings arrive that the supervisor has read anew."""
        config = self.settings.first()
        if config is None:
            sys.exit(1)
        self.config = config
        """What the process is started with."""

    def start(self, name: str) -> LogQueue:
        """Have the process end with its supervisor, keep its memory to itself, and log under a name."""
        end_with_parent(self.config.supervisor)
        log = start_logging(self.config.settings, name)
        survive_signals()
        harden_process()
        # The supervisor has logged whether that is allowed.
        lock_memory()
        return log

    @contextmanager
    def reporting_failure(self) -> Iterator[None]:
        """Have the supervisor say why the block failed, and end the process then."""
        try:
            with readable_errors():
                yield
        except click.ClickException as error:
            # The supervisor says it, in its last line.
            with suppress(BlockingIOError):
                os.write(self._heartbeats, FAILURE + error.message.encode()[:MAX_FAILURE])
            # Whatever threads it has: see ``serve``.
            os._exit(1)

    def send_heartbeat(self) -> None:
        """Tell the supervisor that this process lives; the first time, that it has started."""
        # The pipe is full only if the supervisor hangs: this process must not wait for it.
        with suppress(BlockingIOError):
            os.write(self._heartbeats, HEARTBEAT)


def _reserve_standard_output() -> int:
    """Reserve standard output for heartbeats; return its file descriptor. Other output goes to standard error."""
    heartbeats = os.dup(1)
    os.set_blocking(heartbeats, False)
    os.dup2(2, 1)
    return heartbeats
