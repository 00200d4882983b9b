"""``strongroom migrate-ciphertexts``: re-encrypts files, rows or objects under a key of another KMS."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
from msgspec.structs import asdict, replace

from strongroom.aws_clients import AwsError, AwsPlace, client_of
from strongroom.cli.options import FILE, PATH, READABLE
from strongroom.cli.output import json_option, printable, show
from strongroom.cli.progress import progress_bar
from strongroom.reencryption.ciphertexts import Side
from strongroom.reencryption.files import Files
from strongroom.reencryption.items import Place, PlaceError
from strongroom.reencryption.journal import Journal, files_of_journal
from strongroom.reencryption.migration import Migration, Tally
from strongroom.reencryption.objects import Objects
from strongroom.reencryption.rows import Rows
from strongroom.supervisor.hardening import harden_process

_FAILURES = 1
_MAX_URL = 8192


class _Column(NamedTuple):
    database: str | None
    database_file: Path | None
    table: str | None
    column: str | None
    key_column: str | None


class _Bucket(NamedTuple):
    name: str | None
    prefix: str
    place: AwsPlace


@click.command("migrate-ciphertexts")
@click.argument("paths", nargs=-1, type=PATH)
@click.option("--from-profile", help="AWS profile for the KMS that decrypts.")
@click.option("--from-region", help="Region of the KMS that decrypts.")
@click.option("--from-endpoint-url", help="URL of the KMS that decrypts. Default: that of AWS.")
@click.option("--from-ca-bundle", type=FILE, help="Certificates that its certificate is checked against.")
@click.option("--from-key", help="Key that decrypts. Default: the one that each ciphertext names.")
@click.option("--to-profile", help="AWS profile for the KMS that encrypts.")
@click.option("--to-region", help="Region of the KMS that encrypts.")
@click.option("--to-endpoint-url", help="URL of the KMS that encrypts. Default: that of AWS.")
@click.option("--to-ca-bundle", type=FILE, help="Certificates that its certificate is checked against.")
@click.option("--to-key", required=True, help="Key that encrypts: an id, an ARN or an alias.")
@click.option(
    "--context",
    "contexts",
    multiple=True,
    metavar="NAME=VALUE",
    help="Pair of the encryption context. `{key}` in it stands for the path, row key or object key. Can be repeated.",
)
@click.option(
    "--to-context", "to_contexts", multiple=True, metavar="NAME=VALUE", help="As --context, if the new one differs."
)
@click.option("--base64", "in_base64", is_flag=True, help="The ciphertexts are in base64 rather than bytes.")
@click.option("--journal", "journal_file", type=PATH, help="File that remembers what was done. Needed to migrate.")
@click.option("--dry-run", is_flag=True, help="Re-encrypt everything, and replace nothing.")
@click.option("--database", metavar="URL", help="Migrate rows of this database, such as sqlite:///FILE.")
@click.option("--database-file", type=READABLE, help="File with the URL, where it contains a password.")
@click.option("--table", help="Table of the rows; it can have its schema before a dot.")
@click.option("--column", help="Column with the ciphertexts.")
@click.option("--key-column", help="Column that tells the rows apart: the primary key, or unique.")
@click.option("--bucket", help="Migrate objects of this bucket.")
@click.option("--prefix", default="", help="Only those whose keys begin with it.")
@click.option("--bucket-profile", help="AWS profile for the bucket.")
@click.option("--bucket-region", help="Region of the bucket.")
@click.option("--bucket-endpoint-url", help="URL of the object storage. Default: that of Amazon S3.")
@json_option
@click.pass_context
def migrate_ciphertexts(  # noqa: PLR0913, PLR0917 - options
    ctx: click.Context,
    paths: tuple[Path, ...],
    from_profile: str | None,
    from_region: str | None,
    from_endpoint_url: str | None,
    from_ca_bundle: Path | None,
    from_key: str | None,
    to_profile: str | None,
    to_region: str | None,
    to_endpoint_url: str | None,
    to_ca_bundle: Path | None,
    to_key: str,
    contexts: tuple[str, ...],
    to_contexts: tuple[str, ...],
    in_base64: bool,  # noqa: FBT001 - an option
    journal_file: Path | None,
    dry_run: bool,  # noqa: FBT001 - an option
    database: str | None,
    database_file: Path | None,
    table: str | None,
    column: str | None,
    key_column: str | None,
    bucket: str | None,
    prefix: str,
    bucket_profile: str | None,
    bucket_region: str | None,
    bucket_endpoint_url: str | None,
    as_json: bool,  # noqa: FBT001 - an option
) -> None:
    """Re-encrypt ciphertexts of one KMS under a key of another.

    PATHS are files with one ciphertext each, or folders of such files. With --database the ciphertexts are in a column,
    with --bucket in objects. Each one is decrypted by one KMS, encrypted by the other, decrypted again to compare, and
    only then put in the place of the old one. Run it again after an interruption, with the same journal: it goes on.
    """
    if (journal_file is None) == (not dry_run):
        raise click.UsageError("give --journal FILE to migrate, or --dry-run to replace nothing")
    context, to_context = _context(contexts, "--context"), _context(to_contexts, "--to-context")
    source_place = AwsPlace(from_profile, from_region, from_endpoint_url, _text(from_ca_bundle))
    destination_place = AwsPlace(to_profile, to_region, to_endpoint_url, _text(to_ca_bundle))
    column_of = _Column(database, database_file, table, column, key_column)
    bucket_of = _Bucket(bucket, prefix, AwsPlace(bucket_profile, bucket_region, bucket_endpoint_url))
    _require_one_place(paths, column_of, bucket_of)
    harden_process()
    try:
        source = _side(source_place, from_key, context)
        destination = _side(destination_place, to_key, to_context or context)
        with _place(paths, column_of, bucket_of, journal_file) as place:
            task = printable(f"{place.name}, from {source.place.name} to {destination.place.name}, key {to_key}")
            tally = _run(place, source, destination, journal_file, task, in_base64=in_base64)
    except (AwsError, PlaceError) as error:
        raise click.ClickException(printable(str(error))) from None
    show({"dry_run": dry_run, **asdict(tally)}, [_words(tally, dry_run=dry_run)], as_json=as_json)
    if tally.failed:
        ctx.exit(_FAILURES)


def _side(place: AwsPlace, key_id: str | None, context: dict[str, str]) -> Side:
    client = client_of("kms", place, confidential=True)
    # The endpoint may come from the environment or the profile.
    return Side(client, replace(place, endpoint=client.meta.endpoint_url), key_id, context)


def _run(
    place: Place, source: Side, destination: Side, journal_file: Path | None, task: str, *, in_base64: bool
) -> Tally:
    def failed(key: str, reason: str) -> None:
        # Both are chosen by others.
        click.echo(printable(f"{key}: {reason}"), err=True)

    with progress_bar("Re-encrypting", _count(place) if sys.stderr.isatty() else 0) as advance:
        if journal_file is None:
            return Migration(
                place=place, source=source, destination=destination, in_base64=in_base64, journal=None
            ).run(advance, failed)
        with Journal(journal_file, task) as journal:
            return Migration(
                place=place, source=source, destination=destination, in_base64=in_base64, journal=journal
            ).run(advance, failed)


def _count(place: Place) -> int:
    """Count the items for the progress bar; this reads their names only."""
    return sum(1 for _ in place.items())


@contextmanager
def _place(paths: Sequence[Path], column: _Column, bucket: _Bucket, journal_file: Path | None) -> Iterator[Place]:
    if bucket.name is not None:
        client = client_of("s3", bucket.place, confidential=True)
        yield Objects(client, bucket.place, bucket.name, bucket.prefix)
    elif column.table is not None and column.column is not None and column.key_column is not None:
        with Rows(_url(column), column.table, column.column, column.key_column) as rows:
            yield rows
    else:
        yield Files(paths, () if journal_file is None else files_of_journal(journal_file))


def _require_one_place(paths: Sequence[Path], column: _Column, bucket: _Bucket) -> None:
    has_database = column.database is not None or column.database_file is not None
    if sum((bool(paths), has_database, bucket.name is not None)) != 1:
        raise click.UsageError("name either files and folders, or --database, or --bucket")
    parts = (column.table, column.column, column.key_column)
    if has_database and None in parts:
        raise click.UsageError("--database needs --table, --column and --key-column")
    if not has_database and any(part is not None for part in parts):
        raise click.UsageError("--table, --column and --key-column need --database")


def _url(column: _Column) -> str:
    if column.database_file is None:
        return column.database or ""
    try:
        with column.database_file.open(encoding="utf-8") as file:
            return file.read(_MAX_URL).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PlaceError(f"`{column.database_file}` cannot be read: {error}") from None


def _context(pairs: tuple[str, ...], option: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"`{pair}` is not NAME=VALUE", param_hint=option)
        found[name] = value
    return found


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _words(tally: Tally, *, dry_run: bool) -> str:
    done = "could be re-encrypted; nothing was replaced" if dry_run else "re-encrypted"
    before = f", {tally.before} before" if tally.before else ""
    left = f", {tally.failed} left as they were (above)" if tally.failed else ""
    return f"{tally.migrated} {done}{before}{left}."
