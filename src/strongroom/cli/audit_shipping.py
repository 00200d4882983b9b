"""``strongroom audit shipping`` and ``strongroom audit fetch``."""

from pathlib import Path

import click
import msgspec

from strongroom.assembly.audit_shipping import DestinationReport, bucket_of, reports
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.audit.cloudtrail import event_time
from strongroom.audit_destinations import AddressError, AuditDestination, require_destination
from strongroom.cli.data_folder import readable_errors
from strongroom.cli.options import FOLDER, config_option, data_option, read_settings
from strongroom.cli.output import Question, json_option, show, show_json, with_nulls
from strongroom.cli.progress import progress_bar
from strongroom.clock import SystemClock
from strongroom.settings import Settings, SettingsError
from strongroom.shipping.destination import DestinationError
from strongroom.shipping.s3_fetching import fetch as fetch_segments
from strongroom.shipping.s3_fetching import size_of
from strongroom.store.audit.archiving import make_folder

_MEGABYTE = 1_000_000


@click.command(cls=Question)
@json_option
@data_option
@config_option
def shipping(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """Show how far the audit log was shipped to each destination, also while no server runs.

    Exits with 0 if all is well, with 1 if a destination fails, or lacks lines that are older than the setting
    audit-ship-lag, and with 2 if that cannot be known.
    """
    with readable_errors():
        settings = read_settings(config, data=data)
        if not settings.audit_ship:
            raise DataFolderError("the audit log is shipped nowhere; see the setting `audit-ship`")
        if not DataFolder(settings.folder).audit.is_dir():
            raise DataFolderError(f"`{settings.folder}` has no audit log; check --data")
        found = reports(settings, SystemClock())
    if as_json:
        show_json({"destinations": [with_nulls(each, "failing", "last_taken") for each in found]})
    else:
        for each in found:
            _show(each)
    if any(each.failing or each.lag > settings.audit_ship_lag for each in found):
        raise SystemExit(1)


def _show(found: DestinationReport) -> None:
    click.echo(f"{found.to}{' (required)' if found.required else ''}")
    if found.lines or found.size:
        lines = f"{found.lines} lines, " if found.lines else ""
        click.echo(f"  lacks {lines}{found.size / _MEGABYTE:.1f} MB, the oldest of {max(0.0, found.lag):.0f} s ago")
    else:
        click.echo("  has all lines")
    if found.last_taken:
        click.echo(f"  took the last at {event_time(found.last_taken)}")
    if found.failing:
        click.echo(f"  fails: {found.failing}")


@click.command()
@click.argument("address", metavar="s3://BUCKET/PREFIX")
@click.argument("folder", metavar="FOLDER", type=FOLDER)
@click.option("--endpoint", help="URL of an object storage other than AWS's.")
@click.option("--region", help="Its Region.")
@click.option("--ca", help="Authorities (PEM) that its certificate may be of.")
@json_option
@config_option
def fetch(  # noqa: PLR0913 - one parameter for each option
    *,
    address: str,
    folder: Path,
    endpoint: str | None,
    region: str | None,
    ca: str | None,
    as_json: bool,
    config: Path | None,
) -> None:
    """Copy the shipped audit log from object storage into an empty folder.

    ``audit verify`` and ``audit search`` read it there. If the address is one of the setting audit-ship, what is set
    there holds, unless the options say otherwise.
    """
    with readable_errors():
        settings = read_settings(config)
        destination = _destination(settings, address, endpoint, region, ca)
        make_folder(folder.absolute())
        if any(folder.iterdir()):
            raise DataFolderError(f"`{folder}` is not empty; name another folder")
        bucket = bucket_of(destination)
        try:
            with progress_bar("Fetching", size_of(bucket)) as advance:
                files, size = fetch_segments(bucket, folder, advance)
        except DestinationError as error:
            raise DataFolderError(str(error)) from None
        if not files:
            raise DataFolderError(f"{bucket.place} has no file of an audit log")
    words = f"{files} {'file' if files == 1 else 'files'} ({size / _MEGABYTE:.1f} MB) of the audit log fetched."
    show({"segments": files, "size": size}, [words], as_json=as_json)


def _destination(
    settings: Settings, address: str, endpoint: str | None, region: str | None, ca: str | None
) -> AuditDestination:
    known = next((each for each in settings.audit_ship if each.to == address), AuditDestination(address))
    given = {"endpoint": endpoint, "region": region, "ca": ca}
    found = msgspec.structs.replace(known, **{name: value for name, value in given.items() if value is not None})
    try:
        require_destination(found)
    except AddressError as error:
        raise SettingsError(f"`{address}`: {error}") from None
    if found.kind != "s3":
        raise SettingsError(f"`{address}` is no object storage (s3://): a folder can be read where it is")
    return found
