"""``strongroom import aws``: makes keys from the metadata of keys elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
from msgspec.structs import replace

from strongroom.assembly.key_imports.importer import import_keys
from strongroom.assembly.key_imports.one_key import Scene, Target
from strongroom.assembly.key_imports.report import ImportReport, Outcome, earlier_of, encode, is_report
from strongroom.aws_clients import AwsError, AwsPlace, client_of
from strongroom.cli.data_folder import open_data_folder, readable_errors
from strongroom.cli.groups import Group
from strongroom.cli.options import FILE, WRITTEN_FILE, config_option, data_option
from strongroom.cli.output import json_option, printable, show
from strongroom.cli.progress import progress_bar
from strongroom.clock import SystemClock
from strongroom.key_exports import document
from strongroom.key_exports.aws import read_keys
from strongroom.key_exports.document import ExportError, KeyExport
from strongroom.whole_files import open_regular, write_named_file

_MAX_MATERIAL = 16 * 1024


@click.group("import", cls=Group)
def import_command() -> None:
    """Move in from another KMS."""


@import_command.command("aws")
@click.option("--profile", help="AWS profile to read with. Default: as the AWS CLI has it.")
@click.option("--region", help="Region to read. Default: that of the profile.")
@click.option("--endpoint-url", help="Another service than AWS: moto, LocalStack, another Strongroom.")
@click.option("--ca-bundle", type=FILE, help="Certificates that the endpoint's is checked against.")
@click.option("--from", "source", type=FILE, help="Read an export rather than a service.")
@click.option(
    "--export", "target_file", type=WRITTEN_FILE, help="Only write what was read to this file, and import nothing."
)
@click.option("--account", help="Account to import into. Default: that of the settings.")
@click.option("--to-region", help="Region to import into. Default: the Region that was read.")
@click.option(
    "--material",
    "materials",
    multiple=True,
    metavar="KEYID=FILE",
    help="Key material of a key of Origin EXTERNAL: its bytes, or PKCS #8 in DER. Can be repeated.",
)
@click.option(
    "--earlier",
    type=FILE,
    metavar="REPORT",
    help="Report of an earlier import: what was here after it, and was removed since, is not made again.",
)
@click.option("--report", type=WRITTEN_FILE, help="Write the report (JSON) to this file as well.")
@click.option("--dry-run", is_flag=True, help="Change nothing; report what would be done.")
@json_option
@data_option
@config_option
def import_aws(  # noqa: PLR0913, PLR0917 - options
    profile: str | None,
    region: str | None,
    endpoint_url: str | None,
    ca_bundle: Path | None,
    source: Path | None,
    target_file: Path | None,
    account: str | None,
    to_region: str | None,
    materials: tuple[str, ...],
    earlier: Path | None,
    report: Path | None,
    data: str | None,
    config: Path | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make keys here from the KMS keys of an AWS account and Region, also while the server runs.

    Descriptions, key policies, aliases, tags, rotation and grants are taken over. Key ids stay the same; so does the
    rest of each ARN, if the account and the Region do. Key material cannot be had: the keys get new material, so
    ciphertexts have to be re-encrypted (`strongroom migrate-ciphertexts`). The report says which key became which, and
    what is missing. Run it again when that is there: it adds what is missing, also what was removed here
    since, unless it gets the report of the earlier run.
    """
    if source is not None and (profile or region or endpoint_url or ca_bundle):
        raise click.UsageError(
            "--from reads a file: --profile, --region, --endpoint-url and --ca-bundle do not go with it"
        )
    _require_replaceable(target_file, report, dry_run=dry_run)
    place = AwsPlace(profile, region, endpoint_url, None if ca_bundle is None else str(ca_bundle))
    try:
        given = _materials(materials)
        export = _read(place) if source is None else document.decode(_content(source), str(source))
    except (AwsError, ExportError) as error:
        raise click.ClickException(printable(str(error))) from None
    if target_file is not None:
        with readable_errors():
            write_named_file(target_file, document.encode(export), replace=True)
        written = {"file": str(target_file), "account": export.account, "region": export.region}
        words = f"Wrote {len(export.keys)} keys of account {export.account} in {export.region} to {target_file}."
        show({**written, "keys": len(export.keys)}, (words,), as_json=as_json)
        return
    with open_data_folder(config, data) as (opened, settings):
        scene = Scene(opened.backends, opened.trail, SystemClock().now())
        target = Target(account or settings.account, to_region or export.region)
        known = None if earlier is None else earlier_of(earlier.read_bytes(), str(earlier), *target)
        with progress_bar("Importing", len(export.keys)) as advance, _told_how_far(len(export.keys), advance) as count:
            found = import_keys(export, scene, target, given, count, dry_run=dry_run, earlier=known)
        try:
            if report is not None:
                write_named_file(report, encode(found), replace=True)
        finally:
            # Also if the report cannot be written: the keys are made.
            show(found, _lines(found), as_json=as_json)


@contextmanager
def _told_how_far(number: int, advance: Callable[[int, int], None]) -> Iterator[Callable[[int, int], None]]:
    """Give what is told of each key; if the block fails after the first one, say that these are imported."""
    done = 0

    def count(more: int, of: int) -> None:
        nonlocal done
        done += more
        advance(more, of)

    try:
        yield count
    except BaseException:
        if done:
            words = f"Warning: {done} of {number} keys are dealt with, and there is no report; run this again"
            click.echo(words, err=True)
        raise


def _require_replaceable(export: Path | None, report: Path | None, *, dry_run: bool) -> None:
    """Refuse to replace a file that is something else than what would be written; raises ClickException.

    An empty file, such as mktemp(1) makes, is nothing else. A dry run does not replace the report of an import either,
    which --earlier goes by.
    """
    if export is not None and _has_other(export, document.is_export):
        raise click.BadParameter(
            f"`{export}` is there, and is no export of keys; name another file", param_hint="--export"
        )
    if report is not None and _has_other(report, partial(is_report, dry_run=dry_run)):
        kind = "a dry run" if dry_run else "an import"
        raise click.BadParameter(
            f"`{report}` is there, and is no report of {kind}; name another file", param_hint="--report"
        )


def _has_other(path: Path, is_own: Callable[[bytes], bool]) -> bool:
    """Tell whether a file has content that this command does not write."""
    if not path.exists():
        return False
    with readable_errors(), open_regular(path) as file:
        # What is larger is cut, and so is no document of this command.
        content = file.read(document.MAX_SIZE)
    return bool(content) and not is_own(content)


def _read(place: AwsPlace) -> KeyExport:
    client = client_of("kms", place)
    with progress_bar("Reading") as advance:
        return read_keys(client, replace(place, endpoint=client.meta.endpoint_url), advance)


def _content(path: Path) -> bytes:
    with readable_errors(), path.open("rb") as file:
        content = file.read(document.MAX_SIZE + 1)
    if len(content) > document.MAX_SIZE:
        raise ExportError(f"`{path}` is larger than {document.MAX_SIZE} bytes, so it is no export of keys")
    return content


def _materials(given: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for each in given:
        key_id, separator, name = each.partition("=")
        if not separator:
            raise click.BadParameter(f"`{key_id}` lacks the file: KEYID=FILE", param_hint="--material")
        with readable_errors(), Path(name).open("rb") as file:
            found[key_id] = file.read(_MAX_MATERIAL + 1)
        if len(found[key_id]) > _MAX_MATERIAL:
            raise click.BadParameter(f"`{name}` is too large to be key material", param_hint="--material")
    return found


def _lines(report: ImportReport) -> Iterator[str]:
    """Yield what came of each key, and a summary."""
    for key in report.keys:
        yield printable(f"{key.outcome} {key.key_arn or key.source_arn}")
        problems = [*key.missing, *([key.reason] if key.reason else [])]
        yield from (f"  {printable(problem)}" for problem in problems)
    numbers = {outcome: sum(key.outcome is outcome for key in report.keys) for outcome in Outcome}
    counts = ", ".join(f"{number} {outcome}" for outcome, number in numbers.items() if number) or "there are none"
    yield f"{'Nothing was changed. ' if report.dry_run else ''}Keys: {counts}."
    if not report.complete:
        yield "What is indented is missing: see to it, and import again."
