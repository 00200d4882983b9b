"""What ``serve`` and its workers share."""

import gc
import logging
import sys
from collections.abc import Callable

from strongroom.api.server import Server
from strongroom.assembly.assemble import Deployment
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.settings import Settings

_SWITCH_INTERVAL = 0.0005
_YOUNG_OBJECTS = 20_000


def start_logging() -> None:
    """Log to standard error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)


def serve_as(settings: Settings, worker: int | None, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM, as one of several workers or alone. Raises what ``Deployment`` and ``Server.run`` do."""
    clock = SystemClock()
    with Deployment(settings, clock, system_entropy, worker) as deployment:
        _tune_interpreter()
        Server(
            settings,
            deployment.service,
            deployment.chores,
            deployment.log,
            clock,
            system_entropy,
            shared=worker is not None,
        ).run(ready)


def _tune_interpreter() -> None:
    # A thread that has finished a signature waits for the event loop this long at most, not for 5 ms.
    sys.setswitchinterval(_SWITCH_INTERVAL)
    # Calls leave no cycles behind, so looking for some after every few calls is in vain.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 50, 100)
