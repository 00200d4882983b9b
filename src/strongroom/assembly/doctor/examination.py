"""Runs checks, each by itself, and says of every failure what it means."""

from collections.abc import Callable, Iterable, Sequence
from time import perf_counter

import msgspec

from strongroom import __version__
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.doctor.results import (
    RESTORE,
    Finding,
    Report,
    Result,
    critical,
    result_of,
    told,
    unknown,
    worst,
)
from strongroom.assembly.doctor.scene import BlockedError, Scene
from strongroom.assembly.unsealing import NoSealOpensError
from strongroom.audit.cloudtrail import event_time
from strongroom.crypto.seal import SealUnavailableError, UnsealError
from strongroom.errors import KmsError
from strongroom.settings import SettingsError
from strongroom.store.faults import FaultKind
from strongroom.store.sqlite.read_only import UnreadableStoreError, is_unused
from strongroom.store.sqlite.schema_version import UnknownSchemaError

_OPEN_A_SEAL = (
    "have one of the seals open: put back its key file, name a file with its passphrase in `seal-passphrase-file`, or "
    "let this user call its KMS key or token"
)
_NOT_NOW = frozenset({FaultKind.BUSY, FaultKind.UNREACHABLE, FaultKind.UNWRITABLE})
"""Faults that keep a database from being read, and say nothing about what is in it."""


class Check(msgspec.Struct, frozen=True):
    """One check: its name, which does not change between releases, and what it does.

    ``slow`` checks are left out if only a quick examination is asked for. ``reads_database`` tells that what it says
    depends on the database alone.
    """

    name: str
    run: Callable[[Scene], Iterable[Finding]]
    slow: bool = False
    reads_database: bool = False


def examine(scene: Scene, checks: Sequence[Check]) -> Report:
    """Run checks one after the other, and return what they have found."""
    began = scene.clock.now()
    due = [check for check in checks if not (scene.options.quick and check.slow)]
    results = [_result(scene, check) for check in due]
    return Report(
        release=__version__,
        time=event_time(began),
        data=None if scene.data is None else str(scene.data),
        status=worst(each.status for each in results),
        checks=results,
        left_out=[check.name for check in checks if check not in due],
    )


def _result(scene: Scene, check: Check) -> Result:
    begun = perf_counter()
    scene.check = check.name
    was_unused = _is_unused(scene)
    findings = list[Finding]()
    try:
        findings.extend(check.run(scene))
    except Exception as error:  # noqa: BLE001 - the next check must run, whatever this one meets
        findings.extend(_of_error(error))
    if check.reads_database and was_unused and not _is_unused(scene):
        # What was read may be of two states of the database.
        findings = [unknown("a server was started meanwhile", "run this again")]
    return result_of(check.name, findings, perf_counter() - begun)


def _is_unused(scene: Scene) -> bool:
    try:
        return is_unused(scene.folder.database)
    except (BlockedError, DataFolderError, OSError):
        return False


def _of_error(error: Exception) -> list[Finding]:
    """Return what an error means that has ended a check."""
    if isinstance(error, NoSealOpensError):
        return [told(each, otherwise=_OPEN_A_SEAL) for each in error.failures]
    return [_of_one(error)]


def _of_one(error: Exception) -> Finding:
    match error:
        case BlockedError():
            return unknown(f"not checked, because of what `{error.because}` says")
        case DataFolderError() | SettingsError() | UnsealError() | UnknownSchemaError() | KmsError():
            return told(str(error))
        case UnreadableStoreError() | SealUnavailableError():
            return _not_read(error)
        case OSError():
            what = f"`{error.filename}` cannot be read" if error.filename else "a file cannot be read"
            return unknown(f"{what}: {error.strerror or error}", "run this as the user of the server, or as root")
        case MemoryError():
            return unknown("there is not enough memory", "raise the limit (ulimit -v, MemoryMax of systemd)")
        case _:
            # Its text could have values of rows.
            return unknown(f"the check ended with {type(error).__name__}, which no known damage causes", RESTORE)


def _not_read(error: UnreadableStoreError | SealUnavailableError) -> Finding:
    """Return what it means that a seal or the database cannot be read now, or not at all."""
    if isinstance(error, SealUnavailableError):
        return unknown(str(error), "run this again when the seal or token can be reached")
    kind = error.kind
    text = f"the database cannot be read: {error}"
    if kind in _NOT_NOW:
        return unknown(text, "run this as the user of the server, or again when the database is not busy")
    return critical(text, RESTORE)
