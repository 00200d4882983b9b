"""``strongroom init``: makes a deployment without serving it."""

import re
import shlex
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import click

from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.initialization import initialize
from strongroom.cli.command_lines import command_line
from strongroom.cli.data_folder import log_in_plain_lines, readable_errors
from strongroom.cli.options import config_option, data_option, read_settings
from strongroom.cli.output import json_option, show
from strongroom.cli.unsealing import unsealing_of
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.settings import Settings
from strongroom.supervisor.hardening import harden_process

_USER_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")


@click.command("init")
@click.option("--region", "regions", multiple=True, help="Region to serve; repeat for more. Default: us-east-1.")
@click.option("--account", help="Account to create, 12 digits. Default: 000000000000.")
@click.option(
    "--admin",
    "administrator",
    is_flag=False,
    flag_value="admin",
    metavar="[NAME]",
    help="Make a user who may do everything, and put the root access key aside. Default of NAME: admin.",
)
@json_option
@data_option
@config_option
def init(
    *,
    regions: tuple[str, ...],
    account: str | None,
    administrator: str | None,
    as_json: bool,
    data: str | None,
    config: Path | None,
) -> None:
    """Make a deployment once: its root key, the keys of its Regions, and its account with a root access key.

    With --admin, AWS clients get the access key of a user with the policy AdministratorAccess, and the root access key,
    which no policy limits, is in a file of its own: AWS advises not to use the root for everyday work.

    On SQLite the first start of a server does this by itself. On PostgreSQL (`store`) it is done on one node, after
    `strongroom database migrate`; the others get the root key, or a seal of it.
    """
    if administrator is not None and not _USER_NAME.fullmatch(administrator):
        raise click.BadParameter(
            f"`{administrator}` is no name of a user: 1 to 64 letters, digits and any of `_+=,.@-`",
            param_hint="--admin",
        )
    with readable_errors():
        settings = read_settings(config, data=data, regions=regions or None, account=account)
        harden_process()
        log_in_plain_lines()
        folder = initialize(settings, SystemClock(), system_entropy, unsealing_of(settings), administrator)
    root_file = folder.credentials if administrator is None else folder.root_credentials
    document = {
        "account": settings.account,
        "data": str(folder.path),
        "administrator": administrator,
        "credentials": str(folder.credentials),
        "root_credentials": str(root_file),
        "root_key": str(folder.root_key) if folder.root_key.exists() else None,
    }
    served = [*chain.from_iterable(("--region", each) for each in regions)]
    if account is not None:
        served += ["--account", account]
    start = command_line("serve", *served, data=folder.path, config=config)
    another = command_line("account", "root-key", settings.account, data=folder.path, config=config)
    show(document, _lines(settings, folder, administrator, start, another), as_json=as_json)


def _lines(
    settings: Settings, folder: DataFolder, administrator: str | None, start: str, another: str
) -> Iterator[str]:
    """Yield what was made and what to do next; ``another`` is the command for another root access key."""
    if administrator is None:
        yield f"Account {settings.account} exists in {folder.database_name}; its root access key is profile default in"
        yield str(folder.credentials)
    else:
        yield f"Account {settings.account} exists in {folder.database_name}; its administrator is the user"
        yield f"{administrator}, whose access key is profile default in"
        yield str(folder.credentials)
        yield "The root access key is put aside. Keep this file off the machine, or delete it:"
        yield str(folder.root_credentials)
        yield "For another root access key, run:"
        yield another
    if folder.is_shared and folder.root_key.exists():
        yield "Every other node needs a copy of this file, which opens all keys, in its data folder (mode 0600):"
        yield str(folder.root_key)
    if administrator is not None:
        yield "Start the server, and then point the AWS clients of another shell at it:"
        yield start
        yield f". {shlex.quote(str(folder.client_environment))}"
