"""``strongroom serve``: starts the server, in this process or, with several workers, under a supervisor."""

import asyncio
import logging
import os
import shlex
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import NoReturn

import click
import msgspec

from strongroom import __version__
from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.deployment import ready_folder
from strongroom.assembly.seal_events import SealEvents
from strongroom.assembly.serving import Serving, serve_as
from strongroom.assembly.serving_lock import ServingLock
from strongroom.audit.writer_id import worker_name
from strongroom.cli.client_environment import fish_quoted, write_client_environment
from strongroom.cli.data_folder import readable_errors
from strongroom.cli.options import config_option, data_option, read_settings, serve_options, settings_file
from strongroom.cli.reload import Reload
from strongroom.cli.standard_output import say
from strongroom.cli.stop_signals import exit_on_stop_signals
from strongroom.cli.unsealing import unsealing_of, wait_for_seals
from strongroom.clock import SystemClock
from strongroom.crypto.seal import Unsealed
from strongroom.entropy import system_entropy
from strongroom.http.listeners import claim_port
from strongroom.http.open_files import require_open_files
from strongroom.server.tls import Tls
from strongroom.settings import MOST_WORKERS, Settings, address_of
from strongroom.settings_sources import variables_without_effect
from strongroom.supervisor.hardening import harden_process, has_swap_space, lock_memory
from strongroom.supervisor.process_slot import HEARTBEAT_INTERVAL
from strongroom.supervisor.service_manager import ServiceManager
from strongroom.supervisor.signals import RELOAD_SIGNAL, survive_signals
from strongroom.supervisor.supervisor import ProcessError, Supervisor
from strongroom.telemetry.log_queue import LogQueue
from strongroom.telemetry.logs import start_logging

logger = logging.getLogger(__name__)

_STOPPED = "Strongroom has stopped."
_AFTER_ORPHANS = 2.0
"""Seconds to wait for the ports of processes that were killed."""


@click.command()
@config_option
@data_option
@serve_options
def serve(config: Path | None, regions: tuple[str, ...], **flags: object) -> None:
    """Serve until SIGTERM. The first start creates the data folder and the root access key.

    Every option can also be set in strongroom.toml (listen) or in the environment (STRONGROOM_LISTEN).
    """
    with readable_errors():
        read = partial(read_settings, config, **flags, regions=regions or None)
        settings = read()
        log = start_logging(settings, worker_name(None) if _serves_alone(settings) else None)
        try:
            with readable_errors():
                survive_signals()
                harden_process()
                _warn_of_variables()
                _lock_memory()
                _serve(settings, log, read, settings_file(config))
        except (click.ClickException, ProcessError) as error:
            _fail(str(error), log)


def _warn_of_variables() -> None:
    for note in variables_without_effect(os.environ):
        logger.warning("%s", note)


def _lock_memory() -> None:
    refused = lock_memory()
    if refused is not None and has_swap_space():
        logger.warning(
            "memory cannot be locked (%s), so keys in it can be written to swap space: see docs/running.md", refused
        )


def _fail(why: str, log: LogQueue) -> NoReturn:
    """End the process, whatever threads it has: a start that fails must not hang for want of another thread."""
    # Lines that wait to be written come first: the last line says why.
    log.close_soon()
    click.echo(f"Error: {why}", err=True)
    os._exit(1)


def _serve(settings: Settings, log: LogQueue, read: Callable[[], Settings], config: Path | None) -> None:
    exit_on_stop_signals(_STOPPED)
    service_manager = ServiceManager.of(os.environ, os.getpid())
    require_open_files()
    Tls(settings)
    with ExitStack() as held:
        lock = held.enter_context(closing(ServingLock(DataFolder(settings.folder))))
        running = _with_ports(settings, held, _AFTER_ORPHANS if lock.waited else 0.0)
        running = msgspec.structs.replace(running, workers=_workers(settings))
        unsealed = _ready_folder(running)
        announce = partial(_announce, running, _write_environment(running, config), service_manager)
        reload = Reload(read, settings, running, service_manager)
        if _serves_alone(running):
            ready = partial(_announce_alone, announce, reload, service_manager)
            serve_as(running, None, log, ready, lock.close, unsealed)
        else:
            _supervise(Supervisor(running, lock.folder, reload.again, unsealed, service_manager), announce)
    say(_STOPPED)


def _ready_folder(settings: Settings) -> Unsealed | None:
    """Make the data folder ready; return what opened its seals. Waits for a seal that is unavailable."""
    unsealing = unsealing_of(settings)
    events = SealEvents(settings, SystemClock(), system_entropy)
    wait_for_seals(lambda: ready_folder(settings, SystemClock(), system_entropy, unsealing), settings, events)
    return unsealing.known()


def _workers(settings: Settings) -> int:
    """Return how many workers are to run: a number that the setting can have, because each is told it as a setting."""
    return settings.workers or min(len(os.sched_getaffinity(0)), MOST_WORKERS)


def _serves_alone(settings: Settings) -> bool:
    """Tell whether this process serves by itself: it is to have one worker, and needs no process beside it."""
    return _workers(settings) == 1 and not (settings.is_on_postgresql or settings.audit_ship or settings.events)


def _with_ports(settings: Settings, held: ExitStack, patience: float) -> Settings:
    """Return the settings with the numbers of their ports, which are claimed until ``held`` is closed."""
    changes = {"listen": _claimed(settings.listen, held, patience)}
    if settings.metrics_listen is not None:
        changes["metrics_listen"] = _claimed(settings.metrics_listen, held, patience)
    return msgspec.structs.replace(settings, **changes)


def _claimed(listen: str, held: ExitStack, patience: float) -> str:
    host, port = address_of(listen)
    port = held.enter_context(closing(claim_port(host, port, patience=patience))).getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _supervise(supervisor: Supervisor, announce: Callable[[], None]) -> None:
    """Run the workers on the ports that are claimed for them."""
    if not supervisor.run(announce):
        # Log it rather than print it: a reader of standard error that hangs must not block the exit.
        logger.error("a process did not stop cleanly")
        raise SystemExit(1)


def _announce_alone(
    announce: Callable[[], None], reload: Reload, service_manager: ServiceManager, serving: Serving
) -> None:
    """Announce a server of one process, on its event loop, and have SIGHUP reload its settings from now on."""
    loop = asyncio.get_running_loop()
    # On a thread, because it reads files.
    loop.add_signal_handler(RELOAD_SIGNAL, lambda: loop.run_in_executor(None, reload.again, serving.renew))
    serving.when_stopping(service_manager.stopping)
    announce()
    _keep_alive(loop, service_manager)


def _keep_alive(loop: asyncio.AbstractEventLoop, service_manager: ServiceManager) -> None:
    """Let the service manager hear from this event loop, again and again. A supervisor does so by itself."""
    service_manager.alive()
    loop.call_later(HEARTBEAT_INTERVAL, _keep_alive, loop, service_manager)


def _write_environment(settings: Settings, config: Path | None) -> tuple[Path, Path] | None:
    """Write the files that point AWS clients at the server before it serves: a script may wait for that alone."""
    try:
        return write_client_environment(settings, _url(settings), config=config)
    except OSError as error:
        # The server is of use without these files.
        logger.warning("cannot write the environment of clients: %s", error)
        return None


def _url(settings: Settings) -> str:
    return f"{settings.scheme}://{settings.listen}"


def _announce(settings: Settings, environment: tuple[Path, Path] | None, service_manager: ServiceManager) -> None:
    """Say where the server listens, and print the command that makes the AWS clients of a shell use it."""
    served = f"serves account {settings.account} in {', '.join(settings.regions)} at {_url(settings)}"
    say(f"Strongroom {__version__} {served}")
    service_manager.ready(served)
    if settings.metrics_listen is not None:
        say(f"Metrics are at http://{settings.metrics_listen}/metrics")
    if environment is not None:
        for_sh, for_fish = environment
        say("Point the AWS clients of another shell at it (sh, bash, zsh; fish):\n")
        say(f". {shlex.quote(str(for_sh.absolute()))}")
        say(f"source {fish_quoted(str(for_fish.absolute()))}\n")
