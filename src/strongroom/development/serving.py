"""Serves a data folder for development: one process, a clock that can be moved, faults that can be injected."""

import math
from collections.abc import Callable, Mapping
from functools import partial

from strongroom import __version__
from strongroom.api.gateway import Gateway
from strongroom.assembly.clock_record import ClockFiles
from strongroom.assembly.deployment import Deployment, ready_folder
from strongroom.assembly.serving import tune_interpreter
from strongroom.clock import Clock, SystemClock
from strongroom.development.accounts import Accounts
from strongroom.development.browsers import is_loopback
from strongroom.development.clock import MovableClock
from strongroom.development.control import Control
from strongroom.development.due_dates import next_due
from strongroom.development.faults import Faults
from strongroom.development.gateway import DevelopmentGateway
from strongroom.development.signatures import TwoClockVerifier
from strongroom.development.time_control import TimeControl
from strongroom.entropy import Entropy, system_entropy
from strongroom.operations.operation import Operation
from strongroom.seeds.ciphertexts import SeededKeys
from strongroom.seeds.planting import plant
from strongroom.seeds.rows import development_rows
from strongroom.seeds.seed import Seed
from strongroom.server.server import Server
from strongroom.server.tls import Tls
from strongroom.service.counters import CallCounters
from strongroom.service.service import Service
from strongroom.settings import Settings

NAME = f"Strongroom/{__version__} (development)"
"""What the Server header of every answer says."""
_NEVER_DELAYED = 16
"""Threads that no delayed call holds: control, and all that has to be read, must not wait for one."""


def serve(settings: Settings, ready: Callable[[str], None], seed: Seed | None = None) -> None:
    """Serve until SIGTERM or SIGINT, on a port that is claimed; call ``ready`` with the URL.

    Of its threads, all but 16 can hold calls that are delayed.

    The keys of a ``seed`` are made first, in the account and the first Region. This process has locked the data folder.
    Raises SeedError, and what ``Deployment`` and ``Server.run`` do.
    """
    clock = MovableClock(SystemClock())
    ready_folder(settings, clock, system_entropy, development=True)
    with Deployment(settings, clock, system_entropy, release=_nothing, development=True) as deployment:

        def plant_seed() -> SeededKeys | None:
            if seed is None:
                return None
            _, keys = plant(seed, deployment.backends, settings.account, settings.regions[0], clock.now())
            return keys

        # Who has advanced the clock finds all done that was due until then.
        deployment.keeper.duty_time = math.inf
        seeded = plant_seed()
        time = TimeControl(
            clock,
            deployment.chores,
            partial(next_due, deployment.backends.store),
            ClockFiles(deployment.folder).accept,
        )
        # Only the control interface sets this clock, so it is never in doubt.
        time.confirm()
        faults = Faults(settings.threads - _NEVER_DELAYED)
        about = {"server": NAME, "account": settings.account, "regions": settings.regions}
        accounts = Accounts(deployment.backends, clock, system_entropy, settings.account)
        control = Control(time, faults, accounts, about, plant_seed)
        tune_interpreter()
        Server(
            settings,
            deployment.service,
            time.run_chores,
            deployment.log,
            clock,
            system_entropy,
            counters=CallCounters(),
            tls=Tls(settings),
            gateway=partial(_gateway, clock.machine, development_rows(seeded), control, faults),
            name=NAME,
        ).run(ready)


def _gateway(  # noqa: PLR0913, PLR0917 - the parts of a gateway
    machine: Clock,
    rows: Mapping[str, Operation],
    control: Control,
    faults: Faults,
    settings: Settings,
    service: Service,
    clock: Clock,
    entropy: Entropy,
) -> Gateway:
    verifier = TwoClockVerifier(service.pipeline.credential, frozenset(settings.regions), settings.clock_skew, machine)
    return DevelopmentGateway(
        service.unauthenticated,
        verifier,
        clock,
        entropy,
        settings.regions[0],
        rows,
        control,
        faults,
        loopback=is_loopback(settings.address[0]),
    )


def _nothing() -> None:
    """Release nothing: who has locked the data folder closes it."""
