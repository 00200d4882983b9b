"""``strongroom account create``."""

import re
from pathlib import Path

import click

from strongroom.cli.data_folder import open_data_folder
from strongroom.cli.options import config_option, data_option


@click.group()
def account() -> None:
    """Manage accounts."""


@account.command("create")
@click.argument("account_id", metavar="ID")
@data_option
@config_option
def create_account(account_id: str, data: str | None, config: Path | None) -> None:
    """Create the account ID (12 digits), also while the server runs.

    Its root access key is added to DATA/credentials as profile ID.
    """
    if not re.fullmatch(r"[0-9]{12}", account_id):
        raise click.BadParameter("an account id has 12 digits", param_hint="ID")
    with open_data_folder(config, data) as (opened, settings):
        opened.registrar.create_account(account_id, settings.regions[0], account_id)
        click.echo(f"Account {account_id} exists; its root access key is profile {account_id} in")
        click.echo(str(opened.folder.credentials))
