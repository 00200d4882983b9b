"""``strongroom init``: makes a deployment without serving it."""

from pathlib import Path

import click

from strongroom.assembly.initialization import initialize
from strongroom.cli.data_folder import log_in_plain_lines, readable_errors
from strongroom.cli.options import config_option, data_option, read_settings
from strongroom.cli.unsealing import unsealing_of
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.supervisor.hardening import harden_process


@click.command("init")
@click.option("--region", "regions", multiple=True, help="Region to serve; repeat for more. Default: us-east-1.")
@click.option("--account", help="Account to create, 12 digits. Default: 000000000000.")
@data_option
@config_option
def init(*, regions: tuple[str, ...], account: str | None, data: str | None, config: Path | None) -> None:
    """Make a deployment once: its root key, the keys of its Regions, and its account with a root access key.

    On SQLite the first start of a server does this by itself. On PostgreSQL (`store`) it is done on one node, after
    `strongroom database migrate`; the others get the root key, or a seal of it.
    """
    with readable_errors():
        settings = read_settings(config, data=data, regions=regions or None, account=account)
        harden_process()
        log_in_plain_lines()
        folder = initialize(settings, SystemClock(), system_entropy, unsealing_of(settings))
    click.echo(
        f"Account {settings.account} exists in {folder.database_name}; its root access key is profile default in"
    )
    click.echo(str(folder.credentials))
    if folder.is_shared and folder.root_key.exists():
        click.echo("Every other node needs a copy of this file, which opens all keys, in its data folder (mode 0600):")
        click.echo(str(folder.root_key))
