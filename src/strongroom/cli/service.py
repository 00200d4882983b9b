"""``strongroom service create``, ``strongroom service list`` and ``strongroom service delete``."""

import re
from pathlib import Path

import click

from strongroom.audit.cloudtrail import event_time
from strongroom.cli.data_folder import open_data_folder, warn_of_profiles
from strongroom.cli.options import config_option, data_option
from strongroom.service.xks_authorization import XKS_PRINCIPAL

_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com")


@click.group()
def service() -> None:
    """Manage services that are trusted to call on behalf of others."""


@service.command("create")
@click.argument("name")
@data_option
@config_option
def create_service(name: str, data: str | None, config: Path | None) -> None:
    """Give the service NAME (such as backup.amazonaws.com) an access key, also while the server runs.

    The key is added to DATA/credentials as profile NAME. Its holder can call on behalf of any principal.
    """
    if not _SERVICE.fullmatch(name):
        raise click.BadParameter("a service is named like backup.amazonaws.com", param_hint="NAME")
    if name == XKS_PRINCIPAL:
        raise click.BadParameter("this is the name of the XKS proxy in key policies", param_hint="NAME")
    with open_data_folder(config, data) as (opened, _):
        opened.registrar.create_service(name)
        click.echo(f"Service {name} has an access key now; it is profile {name} in")
        click.echo(str(opened.folder.credentials))


@service.command("list")
@data_option
@config_option
def list_services(data: str | None, config: Path | None) -> None:
    """List the services: name, access key, when it was made, and when it was last used."""
    with open_data_folder(config, data) as (opened, _):
        for record in opened.registrar.services():
            used = "never used" if record.last_used_at is None else f"used {event_time(record.last_used_at)}"
            made = f"made {event_time(record.created_at)}"
            click.echo(f"{record.principal}\t{record.access_key_id}\t{made}\t{used}")
        warn_of_profiles(opened)


@service.command("delete")
@click.argument("name")
@data_option
@config_option
def delete_service(name: str, data: str | None, config: Path | None) -> None:
    """End the access key of the service NAME at once, also while the server runs.

    It is removed from DATA/credentials. Policies and grants that name the service stay.
    """
    with open_data_folder(config, data) as (opened, _):
        opened.registrar.delete_service(name)
        click.echo(f"Service {name} has no access key any more.")
