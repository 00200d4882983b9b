"""One worker of ``strongroom serve --workers N``. The supervisor starts it, with its configuration on standard input.

The command is ``python -m strongroom.cli.worker``. The kernel kills a worker when its supervisor ends, also after a
crash: workers of an earlier start must never write at the same time as those of a later one.
"""

import asyncio
import os
import sys
from contextlib import suppress
from functools import partial

import click
import msgspec

from strongroom.assembly.serving import serve_as
from strongroom.audit.writer_id import worker_name
from strongroom.cli.data_folder import readable_errors
from strongroom.supervisor.hardening import end_with_parent, harden_process
from strongroom.supervisor.worker_slot import HEARTBEAT, HEARTBEAT_INTERVAL, WorkerConfig
from strongroom.telemetry.logs import start_logging


@click.command()
def worker() -> None:
    """Serve until SIGTERM."""
    heartbeats = _reserve_standard_output()
    config = msgspec.json.decode(sys.stdin.buffer.read(), type=WorkerConfig)
    log = start_logging(config.settings, worker_name(config.worker))
    with readable_errors():
        harden_process()
        end_with_parent(config.supervisor)
        serve_as(
            config.settings, config.worker, log, lambda _url: _send_heartbeat(asyncio.get_running_loop(), heartbeats)
        )


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
