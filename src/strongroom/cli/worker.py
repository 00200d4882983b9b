"""One worker of ``strongroom serve --workers N``: ``python -m strongroom.cli.worker``, its brief on standard input.

It ends with the supervisor, however that ends: two generations of workers must never write side by side.
"""

import signal
import sys

import click
import msgspec

from strongroom.assembly.hardening import end_with_parent, harden_process
from strongroom.cli.folder import readable_errors
from strongroom.cli.serving import serve_as, start_logging
from strongroom.cli.supervisor import READY, SIGNALS, Brief


@click.command()
def worker() -> None:
    """Serve until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    start_logging()
    brief = msgspec.json.decode(sys.stdin.buffer.read(), type=Brief)
    with readable_errors():
        harden_process()
        end_with_parent(brief.supervisor)
        serve_as(brief.settings, brief.worker, _ready)


def _ready(_url: str) -> None:
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    worker()
