"""``strongroom database``: makes the tables of a PostgreSQL database, and goes on with an older database."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from strongroom.assembly.database_history import Accepted, accept_older
from strongroom.assembly.databases.chosen import postgresql_of
from strongroom.assembly.overdue_deletions import WAITING_DAYS
from strongroom.cli.data_folder import open_data_folder, readable_errors
from strongroom.cli.groups import Group
from strongroom.cli.options import FILE, config_option, data_option, read_settings
from strongroom.cli.output import json_option, named_lines, show
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy

if TYPE_CHECKING:
    from strongroom.assembly.databases.migration import Migrated

_PATIENCE = 60.0
"""Seconds for which a migration tries again that a long read keeps from being made."""


@click.group(cls=Group)
def database() -> None:
    """Make or upgrade the tables of a PostgreSQL database, and go on with a database that was rolled back."""


@database.command("migrate")
@click.option("--store", help="Address of the database, as its owner. Default: the setting `store`.")
@click.option(
    "--store-password-file", type=FILE, help="File with the password of the owner. Default: with --store, none."
)
@click.option("--serve", "serving", multiple=True, metavar="ROLE", help="Role of servers; repeat for more.")
@click.option("--read", "reading", multiple=True, metavar="ROLE", help="Role that only reads; repeat for more.")
@click.option("--contract", is_flag=True, help="After an upgrade of all nodes: end the service of the release before.")
@json_option
@config_option
def migrate_command(  # noqa: PLR0913 - one parameter for each option
    *,
    as_json: bool,
    contract: bool,
    store: str | None,
    store_password_file: Path | None,
    serving: tuple[str, ...],
    reading: tuple[str, ...],
    config: Path | None,
) -> None:
    """Make the tables of this release, or upgrade them, and give roles their rights. Data is kept.

    It connects as the owner of the tables. Servers go on meanwhile. Roles that had rights before keep them. If a long
    read of a table is in the way, this tries again for a minute, and changes nothing in the end if it still is.

    An upgrade takes three steps: this command of the new release, while all nodes go on; the new release on one node
    after the other; and --contract, which removes what only the old release needed, and refuses while a node has it.
    """
    with readable_errors():
        settings = read_settings(config, store=store)
        if store is not None:
            settings = replace(settings, store_direct="")
        if store is not None or store_password_file is not None:
            settings = replace(
                settings, store_password_file=None if store_password_file is None else str(store_password_file)
            )
        found = postgresql_of(settings, SystemClock(), system_entropy)
        # They need the same extra.
        from strongroom.assembly.databases.migration import contract_database, migrate_database  # noqa: PLC0415

        if contract:
            before, now = contract_database(found, SystemClock(), _PATIENCE)
            name = found.folder.database_name
            show({"name": name, "before": before, "now": now}, [_contracted(name, before, now)], as_json=as_json)
            return
        done = migrate_database(found, serving, reading, SystemClock(), _PATIENCE)
    show(done, _lines(done), as_json=as_json)


def _lines(done: "Migrated") -> Iterator[str]:
    if done.before is None:
        yield f"Made the tables of schema {done.now} in {done.name}."
    elif done.before == done.now:
        yield f"{done.name} has schema {done.now} already."
    else:
        yield f"Upgraded {done.name} from schema {done.before} to {done.now}."
    yield from (f"Role {role} may read and write all tables." for role in done.granted.serve)
    yield from (f"Role {role} may read all tables." for role in done.granted.read)


def _contracted(name: str, before: str, now: str) -> str:
    if before == now:
        return f"{name} is only for releases from schema {now} on already."
    return f"{name} is only for releases from schema {now} on now; before, those of {before} could serve it."


@database.command("accept-older")
@json_option
@data_option
@config_option
def accept_older_command(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """Go on with a database that lacks what the audit log says was committed.

    The server must not run. The decision is recorded in the audit log. A backup or copy of the database from before it
    is refused from then on. Keys whose deletion is due wait seven days more.
    """
    with open_data_folder(config, data, also_older=True) as (opened, _):
        now = opened.clock_watch.latest(SystemClock().now())
        accepted = accept_older(opened.folder, opened.store, opened.trail, system_entropy, now)
        document = {"accepted": accepted.missing.text, "waiting_anew": accepted.waiting_anew}
        show(document, _accepted_lines(accepted), as_json=as_json)


def _accepted_lines(accepted: Accepted) -> Iterator[str]:
    yield f"Accepted: {accepted.missing.text}."
    yield "What is missing stays missing: ciphertexts of keys that are not there cannot be decrypted."
    yield from named_lines(f"pending deletion, and due: {WAITING_DAYS} days more", accepted.waiting_anew)
