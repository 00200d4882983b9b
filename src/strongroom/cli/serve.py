"""``strongroom serve``."""

import logging
import shlex
import ssl
from pathlib import Path

import click

from strongroom import __version__
from strongroom.api.server import Server
from strongroom.assembly.assemble import Deployment
from strongroom.assembly.hardening import harden_process
from strongroom.cli.folder import config_option, data_option, read_settings, readable_errors
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.settings import Settings


@click.command()
@config_option
@data_option
@click.option("--listen", help="HOST:PORT; port 0 takes a free one. Default: 127.0.0.1:4599.")
@click.option("--region", "regions", multiple=True, help="Region to serve; repeat for more. Default: us-east-1.")
@click.option("--account", help="Account made at the first start, 12 digits. Default: 000000000000.")
@click.option("--tls-cert", help="Certificate chain (PEM).")
@click.option("--tls-key", help="Private key of the certificate (PEM).")
@click.option("--allow-plaintext", is_flag=True, default=None, help="Listen without TLS where others can connect.")
@click.option(
    "--durability",
    type=click.Choice(["write", "fsync"]),
    help="What audit records survive before their answer: the process, or the machine. Default: write.",
)
def serve(config: Path | None, regions: tuple[str, ...], **flags: object) -> None:
    """Serve until SIGTERM. The first start makes the data folder and the root access key.

    Every option is also a key of strongroom.toml and a variable STRONGROOM_*: listen, STRONGROOM_LISTEN.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with readable_errors():
        settings = read_settings(config, **flags, regions=regions or None)
        harden_process()
        try:
            _serve(settings)
        except ssl.SSLError as error:
            raise click.ClickException(f"the TLS certificate or key cannot be used: {error}") from None


def _serve(settings: Settings) -> None:
    clock = SystemClock()
    with Deployment(settings, clock, system_entropy) as deployment:
        server = Server(settings, deployment.service, deployment.keeper, deployment.log, clock, system_entropy)
        server.run(lambda url: _announce(settings, url, deployment.folder.credentials))
    click.echo("Strongroom has stopped.")


def _announce(settings: Settings, url: str, credentials: Path) -> None:
    """Print the three lines that point AWS clients here."""
    region = settings.regions[0]
    click.echo(f"Strongroom {__version__} serves account {settings.account} in {', '.join(settings.regions)} at {url}")
    click.echo("Point AWS clients at it:\n")
    click.echo("export " + " ".join(f"AWS_ENDPOINT_URL_{service}={url}" for service in ("KMS", "IAM", "STS")))
    click.echo(f"export AWS_SHARED_CREDENTIALS_FILE={shlex.quote(str(credentials))}")
    click.echo(f"export AWS_REGION={region} AWS_DEFAULT_REGION={region}\n")
