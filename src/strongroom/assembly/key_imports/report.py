"""What came of an import, key by key: a JSON document."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec

from strongroom.assembly.data_folder import DataFolderError

KEY, POLICY, DEFAULT_POLICY = "key", "policy", "default policy"


class Outcome(StrEnum):
    """What was done with one exported key."""

    IMPORTED = "imported"
    """A key was made; in a dry run, it would be."""
    COMPLETED = "completed"
    """The key was there from an earlier import, and got something that it lacked."""
    PRESENT = "present"
    """The key was there, and lacks nothing that can be had."""
    SKIPPED = "skipped"
    """No key can be made of it; ``reason`` says why."""


class ImportedKey(msgspec.Struct, kw_only=True):
    """One key of the source, and the key that it has become.

    ``missing`` is what could not be had, each with what to do about it. ``notes`` is what differs from the source.
    ``there`` is what this import or an earlier one has found or made here: ``key``, ``policy`` or ``default policy``,
    names of aliases, and ``grant`` with an id of the source. A later import can tell by it what was removed meanwhile.
    """

    source_arn: str
    key_arn: str | None = None
    outcome: Outcome
    reason: str | None = None
    missing: list[str] = []
    notes: list[str] = []
    there: list[str] = []


class ImportReport(msgspec.Struct, kw_only=True):
    """The report of an import. ``complete`` tells whether nothing is missing that another run could add."""

    source_account: str
    source_region: str
    account: str
    region: str
    dry_run: bool
    complete: bool
    keys: list[ImportedKey]


Earlier: TypeAlias = Mapping[str, frozenset[str]]
"""What was here after an earlier import, by the ARN of the key in the source."""


def earlier_of(content: bytes, name: str, account: str, region: str) -> Earlier:
    """Return what the report of an earlier import says was there.

    Raises DataFolderError if it is no such report, or one of a dry run or of an import into another place.
    """
    try:
        found = msgspec.json.decode(content, type=ImportReport)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise DataFolderError(f"`{name}` is no report of an import (--report)") from None
    if found.dry_run:
        raise DataFolderError(f"`{name}` is the report of a dry run, which imported nothing")
    if (found.account, found.region) != (account, region):
        raise DataFolderError(
            f"`{name}` is the report of an import into account {found.account} in {found.region}, "
            f"and not into account {account} in {region}"
        )
    return {key.source_arn: frozenset(key.there) for key in found.keys}


def is_report(content: bytes, *, dry_run: bool) -> bool:
    """Tell whether a file has the report of a dry run or, unless this is to be one of a ``dry_run``, of an import."""
    try:
        found = msgspec.json.decode(content, type=ImportReport)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return found.dry_run or not dry_run


def encode(report: ImportReport) -> bytes:
    """Return a report as JSON that a person can read."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
