"""``strongroom serve``: starts the server, in this process or, with several workers, under a supervisor."""

import logging
import os
import shlex
import signal
from contextlib import ExitStack, closing
from pathlib import Path
from types import FrameType

import click
import msgspec

from strongroom import __version__
from strongroom.assembly.deployment import take_folder
from strongroom.assembly.serving import serve_as
from strongroom.audit.writer_id import worker_name
from strongroom.cli.client_environment import fish_quoted, write_client_environment
from strongroom.cli.data_folder import readable_errors
from strongroom.cli.options import config_option, data_option, read_settings
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.server.server import listener_on, url_of
from strongroom.settings import Settings, address_of
from strongroom.supervisor.hardening import harden_process
from strongroom.supervisor.supervisor import STOP_SIGNALS, Supervisor, WorkerError
from strongroom.telemetry.log_queue import LogQueue
from strongroom.telemetry.logs import start_logging

logger = logging.getLogger(__name__)

_STOPPED = "Strongroom has stopped."


@click.command()
@config_option
@data_option
@click.option("--listen", help="HOST:PORT; port 0 takes a free port. Default: 127.0.0.1:4599.")
@click.option("--region", "regions", multiple=True, help="Region to serve; repeat for more. Default: us-east-1.")
@click.option("--account", help="Account to create at the first start, 12 digits. Default: 000000000000.")
@click.option("--tls-cert", help="Certificate chain (PEM).")
@click.option("--tls-key", help="Private key of the certificate (PEM).")
@click.option(
    "--allow-plaintext",
    is_flag=True,
    default=None,
    help="Allow a listen address that other machines can reach without TLS.",
)
@click.option("--workers", type=int, help="Processes that share the port. Default: one for each core.")
@click.option(
    "--durability",
    type=click.Choice(["write", "fsync"]),
    help="What the audit records of answered calls survive: a crash of the process (write) or of the machine (fsync). "
    "Default: write.",
)
@click.option("--metrics-listen", help="HOST:PORT to serve metrics on, without authentication. Default: no metrics.")
def serve(config: Path | None, regions: tuple[str, ...], **flags: object) -> None:
    """Serve until SIGTERM. The first start creates the data folder and the root access key.

    Every option can also be set in strongroom.toml (listen) or in the environment (STRONGROOM_LISTEN).
    """
    with readable_errors():
        settings = read_settings(config, **flags, regions=regions or None)
        log = start_logging(settings, worker_name(None) if _workers(settings) == 1 else None)
        harden_process()
        try:
            _serve(settings, log)
        except WorkerError as error:
            raise click.ClickException(str(error)) from None


def _serve(settings: Settings, log: LogQueue) -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, _exit_during_start)
    workers = _workers(settings)
    with ExitStack() as held:
        settings = _with_metrics_port(settings, held)
        if workers == 1:
            serve_as(settings, None, log, lambda url: _announce(settings, url))
        else:
            _supervise(settings, workers)
    click.echo(_STOPPED)


def _exit_during_start(_number: int, _frame: FrameType | None) -> None:
    """Exit at once: no call has been answered yet, and an interrupted start can be repeated.

    Raising an exception would be unreliable: Python drops exceptions of signal handlers that run during garbage
    collection.
    """
    os.write(1, f"{_STOPPED}\n".encode())
    os._exit(0)


def _workers(settings: Settings) -> int:
    return settings.workers or os.cpu_count() or 1


def _with_metrics_port(settings: Settings, held: ExitStack) -> Settings:
    """Return the settings with a port for metrics that is reserved for us until ``held`` is closed."""
    if settings.metrics_listen is None:
        return settings
    host, port = address_of(settings.metrics_listen)
    listener_on(host, port, shared=False).close()
    port = held.enter_context(closing(listener_on(host, port, shared=True))).getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    return msgspec.structs.replace(settings, metrics_listen=f"{shown}:{port}")


def _supervise(settings: Settings, workers: int) -> None:
    """Run workers on a port that is reserved for them: it must be free, and is then held until they end."""
    host, port = settings.address
    listener_on(host, port, shared=False).close()
    with closing(listener_on(host, port, shared=True)) as held:
        url = url_of(settings, held)
        shared = msgspec.structs.replace(settings, listen=url.partition("://")[2], workers=workers)
        lock = take_folder(settings, SystemClock(), system_entropy)
        try:
            stopped = Supervisor(shared, lock).run(lambda: _announce(settings, url))
        finally:
            os.close(lock)
    if not stopped:
        # Log it rather than print it: a reader of standard error that hangs must not block the exit.
        logger.error("a worker did not stop cleanly")
        raise SystemExit(1)


def _announce(settings: Settings, url: str) -> None:
    """Print where the server listens, and the command that makes the AWS clients of a shell use it."""
    click.echo(f"Strongroom {__version__} serves account {settings.account} in {', '.join(settings.regions)} at {url}")
    if settings.metrics_listen is not None:
        click.echo(f"Metrics are at http://{settings.metrics_listen}/metrics")
    try:
        for_sh, for_fish = write_client_environment(settings, url)
    except OSError as error:
        # The server is of use without these files.
        logger.warning("cannot write the environment of clients: %s", error)
        return
    click.echo("Point the AWS clients of another shell at it (sh, bash, zsh; fish):\n")
    click.echo(f". {shlex.quote(str(for_sh.absolute()))}")
    click.echo(f"source {fish_quoted(str(for_fish.absolute()))}\n")
