"""One worker of ``strongroom serve --workers N``: ``python -m strongroom.cli.worker``, its brief on standard input.

It ends with the supervisor, however that ends: two generations of workers must never write side by side.
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
from strongroom.cli.common import readable_errors
from strongroom.supervisor.hardening import end_with_parent, harden_process
from strongroom.supervisor.worker_slot import HEARTBEAT, HEARTBEAT_INTERVAL, Brief
from strongroom.telemetry.logs import start_logging


@click.command()
def worker() -> None:
    """Serve until SIGTERM."""
    heartbeats = _take_output()
    brief = msgspec.json.decode(sys.stdin.buffer.read(), type=Brief)
    log = start_logging(brief.settings, worker_name(brief.worker))
    with readable_errors():
        harden_process()
        end_with_parent(brief.supervisor)
        serve_as(brief.settings, brief.worker, log, lambda _url: _heartbeat(asyncio.get_running_loop(), heartbeats))


def _take_output() -> int:
    """Keep standard output for heartbeats alone: whatever else is printed goes where the log goes."""
    heartbeats = os.dup(1)
    os.set_blocking(heartbeats, False)
    os.dup2(2, 1)
    return heartbeats


def _heartbeat(loop: asyncio.AbstractEventLoop, heartbeats: int) -> None:
    # A supervisor that does not read them is itself standing still.
    with suppress(BlockingIOError):
        os.write(heartbeats, HEARTBEAT)
    loop.call_later(HEARTBEAT_INTERVAL, partial(_heartbeat, loop, heartbeats))


if __name__ == "__main__":
    worker()
