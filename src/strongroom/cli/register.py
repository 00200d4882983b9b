"""``strongroom account create`` and ``strongroom service create``."""

import re
from pathlib import Path

import click

from strongroom.cli.common import config_option, data_option, existing_folder

_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com")


@click.group()
def account() -> None:
    """Manage accounts."""


@click.group()
def service() -> None:
    """Manage services that are trusted to call on behalf of others."""


@account.command("create")
@click.argument("account_id", metavar="ID")
@data_option
@config_option
def create_account(account_id: str, data: str | None, config: Path | None) -> None:
    """Make the account ID (12 digits), also while the server runs.

    Its root access key is added to DATA/credentials as profile ID.
    """
    if not re.fullmatch(r"[0-9]{12}", account_id):
        raise click.BadParameter("an account id has 12 digits", param_hint="ID")
    with existing_folder(config, data) as (opened, settings):
        opened.registrar.create_account(account_id, settings.regions[0], account_id)
        click.echo(f"Account {account_id} is there; its root access key is profile {account_id} in")
        click.echo(str(opened.folder.credentials))


@service.command("create")
@click.argument("name")
@data_option
@config_option
def create_service(name: str, data: str | None, config: Path | None) -> None:
    """Give the service NAME (such as backup.amazonaws.com) an access key, also while the server runs.

    The key is added to DATA/credentials as profile NAME. Whoever holds it may call on behalf of any principal.
    """
    if not _SERVICE.fullmatch(name):
        raise click.BadParameter("a service is named like backup.amazonaws.com", param_hint="NAME")
    with existing_folder(config, data) as (opened, _):
        opened.registrar.create_service(name)
        click.echo(f"Service {name} has an access key now; it is profile {name} in")
        click.echo(str(opened.folder.credentials))
