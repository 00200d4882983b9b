"""Makes the destinations of the audit log that the settings name, and tells how far each has come."""

import socket
import ssl
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import msgspec

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.destination_tls import destination_context
from strongroom.audit_destinations import AuditDestination
from strongroom.clock import Clock
from strongroom.server.required_shipping import RequiredShipping
from strongroom.settings import Settings, SettingsError
from strongroom.shipping.destination import Destination
from strongroom.shipping.folder import FolderDestination
from strongroom.shipping.progress import DamagedProgressError, Progress, Status, has_taken
from strongroom.shipping.s3 import MISSING, Bucket, S3Destination
from strongroom.shipping.shipper import Shipper
from strongroom.shipping.syslog import SyslogDestination
from strongroom.store.audit.log import AuditLog
from strongroom.store.audit.segment_source import Piece, Place, Source, first_line_of, time_of
from strongroom.store.audit.segments import Segment

_ONE_PIECE = 1 << 16


class DestinationReport(msgspec.Struct, frozen=True):
    """How far one destination has come. ``lag`` is in seconds: the age of the oldest line that it lacks.

    ``lines`` and ``size`` are what it lacks; ``failing`` is why the last attempt failed, empty if it did not or if
    nothing is known.
    """

    to: str
    required: bool
    lines: int
    size: int
    lag: float
    failing: str
    last_taken: float


def require_destinations(settings: Settings) -> None:
    """Read the certificates of all destinations; raises SettingsError.

    The folders of folder destinations need not be there, nor servers answer: that is seen, and tried again, while the
    audit log is shipped.
    """
    for each in settings.audit_ship:
        if each.kind == "syslog":
            _context(each, settings)
        elif each.kind == "s3":
            _require_library()
        elif settings.folder.resolve() in (_resolved(each), *_resolved(each).parents):
            raise SettingsError(f"`{each.to}` in `audit-ship` is in the data folder; choose another folder")


def open_shippers(settings: Settings, clock: Clock, note_progress: Callable[[], None]) -> list[Shipper]:
    """Return a shipper for each destination; raises SettingsError, DamagedProgressError, OSError.

    ``note_progress`` is called on the thread of a shipper after each piece that was taken.
    """
    folder = DataFolder(settings.folder)
    return [
        Shipper(
            each.to,
            _destination(each, settings, clock),
            Source(folder.audit, clock.now),
            Progress(folder.shipping, each.to),
            interval=each.interval if each.kind == "s3" else 0.0,
            required=each.required,
            now=clock.now,
            timer=clock.timer,
            note_progress=note_progress,
        )
        for each in settings.audit_ship
    ]


def required_shipping(settings: Settings, writer: str, log: AuditLog) -> RequiredShipping | None:
    """Return what a worker's replies wait for; None if no destination is required."""
    if not any(each.required for each in settings.audit_ship):
        return None
    folder = DataFolder(settings.folder).shipping
    return RequiredShipping(folder, writer, log.last_line_place, settings.audit_ship_timeout)


def owed_to(settings: Settings, segment: Segment) -> str | None:
    """Return a destination that has not the whole of a complete segment; None if there is none.

    Raises DataFolderError if it is not known how far a destination has come, OSError.
    """
    folder = DataFolder(settings.folder).shipping
    return next(
        (each.to for each in settings.audit_ship if not has_taken(_places(Progress(folder, each.to)), segment)), None
    )


def statuses_of(settings: Settings) -> list[Status]:
    """Return what the process that ships has told last of each destination that it has told of."""
    folder = DataFolder(settings.folder).shipping
    found = (Progress(folder, each.to).status() for each in settings.audit_ship)
    return [each for each in found if each is not None]


def reports(settings: Settings, clock: Clock) -> list[DestinationReport]:
    """Compare each destination's places with the log, also while nothing is shipped.

    Raises DataFolderError, OSError.
    """
    statuses = {each.to: each for each in statuses_of(settings)}
    found = []
    for each in settings.audit_ship:
        source = Source(DataFolder(settings.folder).audit, clock.now)
        places = _places(Progress(DataFolder(settings.folder).shipping, each.to))
        lines = size = 0
        oldest = clock.now()
        for writer in source.chains():
            place = places.get(writer)
            piece = source.next(writer, place, _ONE_PIECE)
            if piece is None:
                continue
            size += source.waiting(writer, place)
            begin = first_line_of(piece, place) if isinstance(piece, Piece) else piece.after.sequence + 1
            lines += max(0, source.last_line(writer) + 1 - begin)
            if isinstance(piece, Piece):
                oldest = min(oldest, time_of(piece) or oldest)
        status = statuses.get(each.to) or Status(each.to)
        found.append(
            DestinationReport(
                to=each.to,
                required=each.required,
                lines=lines,
                size=size,
                lag=clock.now() - oldest,
                failing=status.failing,
                last_taken=status.last_taken,
            )
        )
    return found


def bucket_of(found: AuditDestination) -> Bucket:
    """Return how object storage is reached; raises AddressError."""
    name, prefix = found.bucket
    cert = None if found.cert is None or found.key is None else (found.cert, found.key)
    return Bucket(name, prefix, found.endpoint, found.region, found.ca, cert)


def _places(progress: Progress) -> dict[str, Place]:
    try:
        return progress.load()
    except DamagedProgressError as error:
        raise DataFolderError(str(error)) from None


def _destination(found: AuditDestination, settings: Settings, clock: Clock) -> Destination:
    match found.kind:
        case "folder":
            return FolderDestination(_resolved(found))
        case "syslog":
            host, port = found.host
            return SyslogDestination(
                host, port, _context(found, settings), socket.gethostname(), clock.timer, time.sleep
            )
        case "s3":
            return S3Destination(bucket_of(found), found.retain_days, clock.now)


def _resolved(found: AuditDestination) -> Path:
    return Path(found.folder).resolve()


def _require_library() -> None:
    if find_spec("botocore") is None:
        raise SettingsError(f"`audit-ship`: {MISSING}")


def _context(found: AuditDestination, settings: Settings) -> ssl.SSLContext:
    return destination_context(found, settings, f"`{found.to}` in `audit-ship`")
