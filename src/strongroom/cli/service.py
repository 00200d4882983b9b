"""``strongroom service create``, ``strongroom service list`` and ``strongroom service delete``."""

import re
from pathlib import Path

import click

from strongroom.audit.cloudtrail import event_time
from strongroom.cli.data_folder import open_data_folder, warn_of_profiles
from strongroom.cli.groups import Group
from strongroom.cli.options import config_option, data_option
from strongroom.cli.output import json_option, json_time, show
from strongroom.service.xks_authorization import XKS_PRINCIPAL
from strongroom.store.records import AccessKeyRecord

_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com")


@click.group(cls=Group)
def service() -> None:
    """Manage services that are trusted to call on behalf of others."""


@service.command("create")
@click.argument("name")
@json_option
@data_option
@config_option
def create_service(*, name: str, as_json: bool, data: str | None, config: Path | None) -> None:
    """Give the service NAME (such as backup.amazonaws.com) an access key, also while the server runs.

    The key is added to DATA/credentials as profile NAME. Its holder can call on behalf of any principal.
    """
    if not _SERVICE.fullmatch(name):
        raise click.BadParameter("a service is named like backup.amazonaws.com", param_hint="NAME")
    if name == XKS_PRINCIPAL:
        raise click.BadParameter("this is the name of the XKS proxy in key policies", param_hint="NAME")
    with open_data_folder(config, data) as (opened, _):
        opened.registrar.create_service(name)
        file = str(opened.folder.credentials)
        show(
            {"service": name, "profile": name, "file": file},
            (f"Service {name} has an access key now; it is profile {name} in", file),
            as_json=as_json,
        )


@service.command("list")
@json_option
@data_option
@config_option
def list_services(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """List the services: name, access key, when it was made, and when it was last used."""
    with open_data_folder(config, data) as (opened, _):
        found = opened.registrar.services()
        show(list(map(_document, found)), map(_line, found), as_json=as_json)
        warn_of_profiles(opened)


def _line(record: AccessKeyRecord) -> str:
    used = "never used" if record.last_used_at is None else f"used {event_time(record.last_used_at)}"
    return f"{record.principal}\t{record.access_key_id}\tmade {event_time(record.created_at)}\t{used}"


def _document(record: AccessKeyRecord) -> dict[str, object]:
    return {
        "service": record.principal,
        "access_key_id": record.access_key_id,
        "created": json_time(record.created_at),
        "last_used": json_time(record.last_used_at),
    }


@service.command("delete")
@click.argument("name")
@json_option
@data_option
@config_option
def delete_service(*, name: str, as_json: bool, data: str | None, config: Path | None) -> None:
    """End the access key of the service NAME at once, also while the server runs.

    It is removed from DATA/credentials. Policies and grants that name the service stay.
    """
    with open_data_folder(config, data) as (opened, _):
        opened.registrar.delete_service(name)
        show({"service": name}, [f"Service {name} has no access key any more."], as_json=as_json)
