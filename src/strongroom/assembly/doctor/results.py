"""What checks find. Pure."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

VERSION = 1
"""The version of the JSON document. Names and values may be added within one version; none changes its meaning."""


RESTORE = "find out what has changed or damaged it, and restore a backup: strongroom restore"
"""What to do about damage."""


class Status(StrEnum):
    """The outcome of a check. The exit codes are those of the Monitoring Plugins guidelines."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"
    """It could not be checked, so it is no pass."""

    @property
    def exit_code(self) -> int:
        """What a command exits with."""
        return _EXIT_CODES[self]


_EXIT_CODES = {Status.OK: 0, Status.WARNING: 1, Status.CRITICAL: 2, Status.UNKNOWN: 3}
BY_WEIGHT = (Status.OK, Status.WARNING, Status.UNKNOWN, Status.CRITICAL)
"""What could not be checked may be critical, so it weighs more than a warning."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that a check has found, in a sentence without its end, and what to do about it."""

    status: Status
    text: str
    remedy: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one check: ``text`` says what was found, ``remedies`` what to do, if there is something to do."""

    check: str
    status: Status
    text: str
    remedies: Sequence[str] = ()
    seconds: float = 0.0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of all checks, as ``--json`` prints it."""

    version: int = VERSION
    release: str
    time: str
    """When the checks began, UTC."""
    data: str | None
    """The data folder; None if the settings that name it could not be read."""
    status: Status
    checks: Sequence[Result]
    left_out: Sequence[str]
    """The checks that were left out because of ``--quick``."""


def ok(text: str) -> Finding:
    """Return that all is well."""
    return Finding(Status.OK, text)


def warning(text: str, remedy: str) -> Finding:
    """Return what should be looked at."""
    return Finding(Status.WARNING, text, remedy)


def critical(text: str, remedy: str) -> Finding:
    """Return what is lost, or keeps the deployment from working as it should."""
    return Finding(Status.CRITICAL, text, remedy)


def unknown(text: str, remedy: str = "") -> Finding:
    """Return that something could not be checked."""
    return Finding(Status.UNKNOWN, text, remedy)


def told(text: str, status: Status = Status.CRITICAL, otherwise: str = RESTORE) -> Finding:
    """Return what a message for operators says: what is wrong, and in its last part what to do about it.

    A message that has one part is followed by the remedy ``otherwise``. One that names several things must not come
    here as a whole: its last part would be taken for the remedy.
    """
    for separator in ("; ", ". "):
        what, _, remedy = text.rpartition(separator)
        if what:
            return Finding(status, what, remedy)
    return Finding(status, text, otherwise)


def number_of(number: int, noun: str) -> str:
    """Return a number of things in words, such as ``1 key`` or ``2 keys``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def worst(found: Iterable[Status]) -> Status:
    """Return the status that weighs most; ``OK`` if there is none."""
    return max(found, key=BY_WEIGHT.index, default=Status.OK)


def result_of(check: str, findings: Sequence[Finding], seconds: float) -> Result:
    """Return the result of a check. If something is wrong, what is in order is not told."""
    status = worst(each.status for each in findings)
    told = [each for each in findings if status is Status.OK or each.status is not Status.OK]
    remedies = list(dict.fromkeys(each.remedy for each in told if each.remedy))
    text = "; ".join(each.text for each in told)
    return Result(check=check, status=status, text=text, remedies=remedies, seconds=round(seconds, 3))
