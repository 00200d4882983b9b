"""``strongroom xks-proxy serve``: serves XKS proxies, beside the server."""

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import click
from msgspec.structs import replace

from strongroom import __version__
from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.open_folder import open_existing
from strongroom.assembly.xks_lock import lock_xks_serving
from strongroom.assembly.xks_serving import XksServing, listener_settings
from strongroom.audit.writer_id import worker_name
from strongroom.cli.data_folder import readable_errors
from strongroom.cli.options import config_option, data_option, read_settings
from strongroom.cli.standard_output import say
from strongroom.cli.stop_signals import exit_on_stop_signals
from strongroom.cli.unsealing import unsealing_of, wait_for_seals
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.http.listeners import claim_port
from strongroom.http.open_files import require_open_files
from strongroom.server.tls import Tls
from strongroom.settings import Settings
from strongroom.supervisor.hardening import harden_process, lock_memory
from strongroom.supervisor.signals import survive_signals
from strongroom.telemetry.logs import name_node, start_logging

logger = logging.getLogger(__name__)

_STOPPED = "The XKS proxy has stopped."
_PATIENCE = 3.0
"""Seconds to wait for another process that serves proxies, or ends what a killed one has left."""


@click.command()
@config_option
@data_option
@click.option("--listen", "xks_listen", help="HOST:PORT; port 0 takes a free port. Default: 127.0.0.1:4600.")
@click.option("--tls-cert", "xks_tls_cert", help="Certificate chain (PEM).")
@click.option("--tls-key", "xks_tls_key", help="Private key of the certificate (PEM).")
@click.option(
    "--tls-client-ca", "xks_tls_client_ca", help="Authorities (PEM): AWS KMS must show a certificate of one of them."
)
@click.option(
    "--allow-plaintext",
    "xks_allow_plaintext",
    is_flag=True,
    default=None,
    help="Allow a listen address that other machines can reach without TLS.",
)
def serve(config: Path | None, **flags: object) -> None:
    """Serve all proxies until SIGTERM, beside the server of the same data folder, whether that runs or not.

    SIGHUP reads the certificates anew. The options are also settings: xks-listen, xks-tls-cert and so on.
    """
    with readable_errors():
        read = partial(read_settings, config, **flags)
        settings = listener_settings(read())
        log = start_logging(settings, worker_name(0, xks=True))
        try:
            with readable_errors():
                survive_signals()
                harden_process()
                lock_memory()
                require_open_files()
                _serve(settings, partial(name_node, log), lambda: listener_settings(read()))
        except click.ClickException as error:
            # Whatever threads there are: see ``strongroom serve``.
            log.close_soon()
            click.echo(f"Error: {error.message}", err=True)
            os._exit(1)
    say(_STOPPED)


def _serve(settings: Settings, name: Callable[[str], None], read: Callable[[], Settings]) -> None:
    exit_on_stop_signals(_STOPPED)
    clock, tls = SystemClock(), Tls(settings)
    with ExitStack() as held:
        held.callback(os.close, lock_xks_serving(DataFolder(settings.folder), _PATIENCE))
        host, port = settings.address
        port = held.enter_context(closing(claim_port(host, port))).getsockname()[1]
        running = replace(settings, listen=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        unsealing = unsealing_of(running)
        opened = wait_for_seals(
            lambda: open_existing(running, clock, system_entropy, unsealing=unsealing, serving=True), running
        )
        held.callback(opened.close)
        serving = held.enter_context(closing(XksServing(opened, running, clock, tls)))
        name(serving.node)
        url = f"{running.scheme}://{running.listen}"
        serving.run(lambda: say(f"Strongroom {__version__} serves XKS proxies at {url}"), partial(_renew, tls, read))


def _renew(tls: Tls, read: Callable[[], Settings]) -> None:
    try:
        with readable_errors():
            tls.renew(read())
    except click.ClickException as error:
        logger.error("SIGHUP: everything stays as it was: %s", error.message)  # noqa: TRY400 - one line is enough
    else:
        logger.info("SIGHUP: read the certificates anew")
