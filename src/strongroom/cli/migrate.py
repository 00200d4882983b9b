"""``strongroom migrate``: moves a deployment from SQLite to PostgreSQL, or back."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from strongroom.assembly.databases.chosen import postgresql_of
from strongroom.cli.command_lines import command_line
from strongroom.cli.data_folder import log_in_plain_lines, readable_errors
from strongroom.cli.options import FILE, config_option, read_settings
from strongroom.cli.output import json_option, show
from strongroom.cli.progress import progress_bar
from strongroom.cli.unsealing import unsealing_of
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.settings import Settings
from strongroom.supervisor.hardening import harden_process

if TYPE_CHECKING:
    from strongroom.assembly.relocation.copying import Copied


@click.command()
@click.option("--from", "old", required=True, metavar="DATA|ADDRESS", help="Where the deployment is.")
@click.option("--to", "new", required=True, metavar="DATA|ADDRESS", help="Where it is to be.")
@click.option("--store-password-file", type=FILE, help="File with the password for the PostgreSQL database.")
@json_option
@config_option
def migrate(*, old: str, new: str, store_password_file: Path | None, as_json: bool, config: Path | None) -> None:
    """Move a deployment from SQLite to PostgreSQL, or back.

    One place is the data folder of a node, the other the address of a PostgreSQL database
    (`postgresql://ROLE@HOST/DATABASE`). Nothing may use either database meanwhile. Everything is copied, read back and
    compared, each record is authenticated, and all key material is opened, before the new database counts. The old one
    is refused from then on. If this is interrupted, run it again: it goes on or begins anew.
    """
    if _is_address(old) == _is_address(new):
        raise click.UsageError("one of --from and --to must be a data folder, the other the address of a database")
    address, folder = (old, new) if _is_address(old) else (new, old)
    options = {"store": "--from", "data": "--to"} if _is_address(old) else {"store": "--to", "data": "--from"}
    with readable_errors():
        settings = replace(read_settings(config, options, data=folder, store=address), store_direct="")
        if store_password_file is not None:
            settings = replace(settings, store_password_file=str(store_password_file))
        harden_process()
        log_in_plain_lines()
        database = postgresql_of(settings, SystemClock(), system_entropy)
        unsealing = unsealing_of(settings)
        with progress_bar("Moving") as advance:
            if _is_address(new):
                from strongroom.assembly.relocation.to_postgresql import MoveToPostgresql  # noqa: PLC0415 - an extra

                here = replace(settings, store="", store_password_file=None)
                copied = MoveToPostgresql(here, database, unsealing, SystemClock(), system_entropy).run(advance)
            else:
                from strongroom.assembly.relocation.to_sqlite import MoveToSqlite  # noqa: PLC0415 - an extra

                clock = SystemClock()
                copied = MoveToSqlite(settings, database, unsealing, clock, system_entropy, time.sleep).run(advance)
    name = database.folder.database_name if _is_address(new) else None
    document = {"data": str(settings.folder), "database": name, "copied": copied}
    serve = command_line("serve", data=settings.folder, config=config)
    show(document, (*_copied(copied), *_next(settings, name, serve)), as_json=as_json)


def _is_address(text: str) -> bool:
    """Tell whether a place is the address of a database: a URI, or a connection string of libpq."""
    return "://" in text or "=" in text


def _copied(copied: "Copied | None") -> Iterator[str]:
    if copied is None:
        yield "Everything had been copied and checked before; the move is complete now."
        return
    yield f"Moved {copied.keys} keys, {copied.rows} rows in all: each row was read back and compared,"
    yield "each record authenticated, and all key material opened."
    for each in copied.damaged:
        yield f"DAMAGED: {each} is not as it was written, or does not open; it is as it was before"
    if copied.damaged_count > len(copied.damaged):
        yield f"... and {copied.damaged_count - len(copied.damaged)} more"


def _next(settings: Settings, name: str | None, serve: str) -> Iterator[str]:
    """Yield what remains to be done; ``name`` is that of a PostgreSQL database, None for SQLite.

    ``serve`` is the line that starts the server.
    """
    if name is None:
        yield f"The deployment is in SQLite in {settings.folder}. Remove `store` from the settings, and start:"
        yield serve
        yield "Other nodes cannot serve it any more. Their audit logs stay in their data folders: keep them."
        return
    yield f"The deployment is in {name}. Set `store` in the settings to the address, and start:"
    yield serve
    yield "Every other node needs the root key, or a seal of it, in a data folder of its own."
    yield f"Keep {settings.folder}: its audit log goes on. `strongroom.db` in it is from before the move, and"
    yield "no server uses it any more; it still has all keys, wrapped: remove it when you need no way back."
