"""``strongroom database accept-older``."""

from pathlib import Path

import click

from strongroom.assembly.database_history import accept_older
from strongroom.cli.data_folder import open_data_folder
from strongroom.cli.options import config_option, data_option
from strongroom.entropy import system_entropy


@click.group()
def database() -> None:
    """Decide about the database of a data folder."""


@database.command("accept-older")
@data_option
@config_option
def accept_older_command(data: str | None, config: Path | None) -> None:
    """Go on with a database that lacks what the audit log says was committed.

    The server must not run. The decision is recorded in the audit log. A backup or copy of the database from before it
    is refused from then on.
    """
    with open_data_folder(config, data, also_older=True) as (opened, _):
        accepted = accept_older(opened.folder, opened.store, opened.trail, system_entropy)
        click.echo(f"Accepted: {accepted.text}.")
        click.echo("What is missing stays missing: ciphertexts of keys that are not there cannot be decrypted.")
