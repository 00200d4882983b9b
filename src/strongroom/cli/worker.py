"""One worker of ``strongroom serve --workers N``. The supervisor starts it, with its configuration on standard input.

The kernel kills a worker when its supervisor ends, also after a crash: workers of an earlier start must never write at
the same time as those of a later one.
"""

import asyncio
import logging
from functools import partial

import click

from strongroom.assembly.serving import Serving, serve_as
from strongroom.audit.writer_id import worker_name
from strongroom.cli.supervised_process import SupervisedProcess
from strongroom.settings import Settings, SettingsError
from strongroom.supervisor.config_reader import ConfigReader
from strongroom.supervisor.process_slot import HEARTBEAT_INTERVAL

logger = logging.getLogger(__name__)


@click.command()
def worker() -> None:
    """Serve until SIGTERM."""
    process = SupervisedProcess()
    with process.reporting_failure():
        config = process.config
        log = process.start(worker_name(config.number))
        serve_as(config.settings, config.number, log, partial(_serve, process), unsealed=config.unsealed)


def _serve(process: SupervisedProcess, serving: Serving) -> None:
    """Begin to send heartbeats, and to take on settings that the supervisor has read anew. Runs on the event loop."""
    loop = asyncio.get_running_loop()
    _send_heartbeat(loop, process)
    loop.add_reader(process.settings.descriptor, _receive, loop, process.settings, serving)


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


def _send_heartbeat(loop: asyncio.AbstractEventLoop, process: SupervisedProcess) -> None:
    process.send_heartbeat()
    loop.call_later(HEARTBEAT_INTERVAL, partial(_send_heartbeat, loop, process))
