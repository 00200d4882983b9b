"""What came of an import, key by key: a JSON document."""

from enum import StrEnum

import msgspec


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


class ImportedKey(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """One key of the source, and the key that it has become.

    ``missing`` is what could not be had, each with what to do about it. ``notes`` is what differs from the source.
    """

    source_arn: str
    key_arn: str | None = None
    outcome: Outcome
    reason: str = ""
    missing: list[str] = []
    notes: list[str] = []


class ImportReport(msgspec.Struct, kw_only=True, rename="camel"):
    """The report of an import. ``complete`` tells whether nothing is missing that another run could add."""

    source_account: str
    source_region: str
    account: str
    region: str
    dry_run: bool
    complete: bool
    keys: list[ImportedKey]


def encode(report: ImportReport) -> bytes:
    """Return a report as JSON that a person can read."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
