"""Sends events while the workers serve.

The supervisor starts it before the workers, with its settings on standard input, and stops it after them by closing
that: then it sends what is left, for ``drain`` seconds at most. It opens neither the database nor a key.
"""

import signal
from types import FrameType

import click

from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.event_sending import EventSending
from strongroom.assembly.node import require_node_id
from strongroom.cli.supervised_process import SupervisedProcess
from strongroom.clock import SystemClock
from strongroom.descriptors import readable
from strongroom.entropy import system_entropy
from strongroom.supervisor.process_slot import HEARTBEAT_INTERVAL
from strongroom.telemetry.logs import name_node, set_log_level

_LOOK = 0.5
"""How often, in seconds, it is looked for new events."""


@click.command()
def event_sender() -> None:
    """Send events until standard input ends."""
    # Workers still change keys, when SIGTERM is sent to all processes of the server at once. A handler, because
    # commands that are run for events would inherit that the signal is ignored.
    signal.signal(signal.SIGTERM, _go_on)
    process = SupervisedProcess()
    with process.reporting_failure():
        settings = process.config.settings
        log = process.start("events")
        name_node(log, require_node_id(DataFolder(settings.folder)))
        clock = SystemClock()
        sending = EventSending(settings, clock, system_entropy)
        sending.start()
        told_at = -HEARTBEAT_INTERVAL
        while not process.settings.ended:
            sending.look()
            if clock.timer() - told_at >= HEARTBEAT_INTERVAL:
                told_at = clock.timer()
                process.send_heartbeat()
                sending.tell()
            found = process.settings.next() if readable([process.settings.descriptor], _LOOK) else None
            if found is not None:
                settings = found.settings
                set_log_level(settings)
        sending.stop(settings.drain)


def _go_on(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the supervisor ends this process."""
