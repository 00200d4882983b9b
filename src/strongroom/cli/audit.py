"""``strongroom audit``: verify the audit log, list its writers, show the public key of its checkpoints."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import click

from strongroom.assembly.audit_folders import AuditFolders, require_log
from strongroom.assembly.audit_log import size_of_log, verify_log
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.databases.chosen import database_of
from strongroom.assembly.databases.database import Database
from strongroom.audit.report import Kind
from strongroom.cli.audit_output import show_report, writer_document, writer_table
from strongroom.cli.data_folder import open_data_folder, readable_errors
from strongroom.cli.groups import Group
from strongroom.cli.options import EXISTING_FOLDER, FILE, config_option, data_option, read_public_key, read_settings
from strongroom.cli.output import Question, json_lines_option, json_option, show, show_json, show_json_lines
from strongroom.cli.progress import progress_bar
from strongroom.clock import SystemClock
from strongroom.crypto.audit_key import AuditPublicKey
from strongroom.entropy import system_entropy
from strongroom.settings import Settings
from strongroom.store.protocol import Readable

archive_option = click.option(
    "--archive",
    "archives",
    multiple=True,
    type=EXISTING_FOLDER,
    help="Folder of archived files to read as well; repeat for more.",
)
from_option = click.option(
    "--from",
    "others",
    multiple=True,
    type=EXISTING_FOLDER,
    help="Data folder or audit folder of another node; repeat for more.",
)


@click.group(cls=Group)
def audit() -> None:
    """Verify, search and archive the audit log, also while the server runs."""


@audit.command("public-key")
@json_option
@data_option
@config_option
def public_key(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """Print the public key that checkpoints are signed for. Keep it elsewhere, for ``audit verify``."""
    with open_data_folder(config, data, also_older=True) as (opened, _):
        key = opened.audit_key()
        pem = key.public().pem()
    show({"public_key": pem}, [pem.removesuffix("\n")], as_json=as_json)


@audit.command("verify", cls=Question)
@click.option(
    "--public-key",
    "pem",
    type=FILE,
    help="Public key (PEM) to verify with, as ``audit public-key`` printed it. Default: that of the data folder.",
)
@click.option(
    "--from-oldest",
    is_flag=True,
    help="Older files were moved by other means than archive: begin with the oldest here.",
)
@click.option(
    "--complete",
    is_flag=True,
    help="Require the chains of all nodes that share the database. Without PostgreSQL, that is always so.",
)
@click.option("--accept-lost", is_flag=True, help="Exit with 0 if all that is missing was lost with retired nodes.")
@json_option
@from_option
@archive_option
@data_option
@config_option
def verify(  # noqa: PLR0913 - the options of one question
    *,
    pem: Path | None,
    from_oldest: bool,
    complete: bool,
    accept_lost: bool,
    as_json: bool,
    others: tuple[Path, ...],
    archives: tuple[Path, ...],
    data: str | None,
    config: Path | None,
) -> None:
    """Find every line that was removed, altered, reordered or cut off.

    Exits with 0 if the log is whole, with 1 if anything is found, and with 2 if it cannot be verified.

    The chains of every writer that the database knows must be here. Where nodes share a database, these are the nodes
    whose folders are given: this one, and those named by --from. Files that were archived are passed over, unless
    --archive is given: then they must be in one of those folders, except for those that were pruned.

    What was on the disk of a node that was retired (audit retire) is a finding, too, unless --accept-lost is given.

    With --public-key, the root key is not needed, and the database is only read. Without the database, a missing end of
    the log and lines added to it cannot be detected.
    """
    with _to_verify(pem, data, config) as (settings, key, store):
        folder = DataFolder(settings.folder)
        folders = folders_of(folder, others, archives)
        # A database in the data folder has one node. So no chain may be missing, also none that was written under an
        # earlier node id.
        nodes = None if complete or not settings.is_on_postgresql else folders.nodes()
        with progress_bar("Verifying", size_of_log(folders.every)) as advance:
            report = verify_log(folders, nodes, key, store, advance, boot=SystemClock().boot(), from_oldest=from_oldest)
    if as_json:
        show_json({"judged": store is not None, "report": report})
    else:
        show_report(report, judged=store is not None)
    if report.further or any(each.kind is not Kind.LOST or not accept_lost for each in report.findings):
        raise SystemExit(1)


@audit.command("writers")
@json_lines_option
@data_option
@config_option
def writers(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """List the writers of the audit log, of all nodes that share the database. Times are UTC."""
    with readable_errors():
        database = database_of(read_settings(config, data=data), SystemClock(), system_entropy)
        with closing(database.open_to_read()) as store, store.read() as reader:
            found = reader.audit_writer_records()
    if as_json:
        show_json_lines(map(writer_document, found))
        return
    for row in writer_table(found):
        click.echo(row)


@contextmanager
def _to_verify(
    pem: Path | None, data: str | None, config: Path | None
) -> Iterator[tuple[Settings, AuditPublicKey, Readable | None]]:
    """Open the audit log and the database, if it exists. Without a public key, also open the keys to get it."""
    if pem is None:
        with open_data_folder(config, data, also_older=True) as (opened, settings):
            key = opened.audit_key()
            yield settings, key.public(), opened.store
        return
    with readable_errors():
        settings = read_settings(config, data=data)
        database = database_of(settings, SystemClock(), system_entropy)
        existing_log(database.folder)
        key_given = read_public_key(pem, "--public-key")
        with store_of(database) as store:
            yield settings, key_given, store


def folders_of(folder: DataFolder, others: Sequence[Path], archives: Sequence[Path]) -> AuditFolders:
    """Return the folders to read; raises DataFolderError if one of the ``others`` has no audit log."""
    return AuditFolders((folder.audit, *(require_log(each, "--from") for each in others)), archives)


def existing_log(folder: DataFolder) -> DataFolder:
    """Return the data folder; raises DataFolderError if it has no audit log."""
    if not folder.audit.is_dir():
        raise DataFolderError(f"`{folder.audit}` does not exist, so there is no audit log; check --data")
    return folder


@contextmanager
def store_of(database: Database) -> Iterator[Readable | None]:
    """Open a database for reading, if it exists."""
    if not database.is_there():
        yield None
        return
    with closing(database.open_to_read()) as store:
        yield store
