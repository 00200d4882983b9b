"""One worker of ``strongroom serve --workers N``. The supervisor starts it, with its configuration on standard input.

The command is ``python -m strongroom.cli.worker``. The kernel kills a worker when its supervisor ends, also after a
crash: workers of an earlier start must never write at the same time as those of a later one.
"""

import asyncio
import logging
import os
import sys
from contextlib import suppress
from functools import partial

import click

from strongroom.assembly.serving import Serving, serve_as
from strongroom.audit.writer_id import worker_name
from strongroom.cli.data_folder import readable_errors
from strongroom.settings import Settings, SettingsError
from strongroom.supervisor.config_reader import ConfigReader
from strongroom.supervisor.hardening import end_with_parent, harden_process, lock_memory
from strongroom.supervisor.signals import survive_signals
from strongroom.supervisor.worker_slot import FAILURE, HEARTBEAT, HEARTBEAT_INTERVAL, MAX_FAILURE
from strongroom.telemetry.logs import start_logging

logger = logging.getLogger(__name__)


@click.command()
def worker() -> None:
    """Serve until SIGTERM."""
    heartbeats = _reserve_standard_output()
    settings = ConfigReader(0)
    config = settings.first()
    if config is None:
        # The supervisor has ended already.
        sys.exit(1)
    try:
        with readable_errors():
            end_with_parent(config.supervisor)
            log = start_logging(config.settings, worker_name(config.worker))
            survive_signals()
            harden_process()
            # The supervisor has logged whether that is allowed.
            lock_memory()
            serve_as(
                config.settings, config.worker, log, partial(_serve, heartbeats, settings), unsealed=config.unsealed
            )
    except click.ClickException as error:
        # The supervisor says it, in its last line.
        with suppress(BlockingIOError):
            os.write(heartbeats, FAILURE + error.message.encode()[:MAX_FAILURE])
        # Whatever threads it has: see ``serve``.
        os._exit(1)


def _serve(heartbeats: int, settings: ConfigReader, serving: Serving) -> None:
    """Begin to send heartbeats, and to take on settings that the supervisor has read anew. Runs on the event loop."""
    loop = asyncio.get_running_loop()
    _send_heartbeat(loop, heartbeats)
    loop.add_reader(settings.descriptor, _receive, loop, settings, serving)


def _receive(loop: asyncio.AbstractEventLoop, settings: ConfigReader, serving: Serving) -> None:
    found = settings.next()
    if settings.ended:
        # The supervisor has ended, and the kernel is about to kill this process too.
        loop.remove_reader(settings.descriptor)
    elif found is not None:
        loop.run_in_executor(None, _renew, serving, found.settings)


def _renew(serving: Serving, settings: Settings) -> None:
    try:
        serving.renew(settings)
    except SettingsError as error:
        logger.error("SIGHUP: this worker goes on as it was: %s", error)  # noqa: TRY400 - one line is enough


def _reserve_standard_output() -> int:
    """Reserve standard output for heartbeats; return its file descriptor. Other output goes to standard error."""
    heartbeats = os.dup(1)
    os.set_blocking(heartbeats, False)
    os.dup2(2, 1)
    return heartbeats


def _send_heartbeat(loop: asyncio.AbstractEventLoop, heartbeats: int) -> None:
    # The pipe is full only if the supervisor hangs: the worker must not wait for it.
    with suppress(BlockingIOError):
        os.write(heartbeats, HEARTBEAT)
    loop.call_later(HEARTBEAT_INTERVAL, partial(_send_heartbeat, loop, heartbeats))


if __name__ == "__main__":
    worker()
