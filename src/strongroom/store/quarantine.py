"""The records of this process that are not used, because they failed authentication or cannot be read."""

import logging
from collections.abc import Callable
from threading import Lock

import msgspec

from strongroom.problems import Problems, Subject

logger = logging.getLogger(__name__)

_MAX_REMEMBERED = 10_000
_MAX_NAME = 512
_PROBLEM = (
    "Records of the database failed authentication and are not used; the log names them. "
    "Find out who changed the database, and restore it from a backup."
)


class Finding(msgspec.Struct, frozen=True):
    """A record that is not as this service wrote it: which one, and what is wrong with it."""

    record: str
    fault: str


class Quarantine:
    """Remembers, logs and reports each quarantined record once. Safe to use from several threads.

    A record leaves the quarantine when it is read again and is as it should be, or is gone: it was restored, or
    removed.
    """

    def __init__(self, problems: Problems | None = None, counted: Callable[[int], None] = lambda _: None) -> None:
        """Report to ``problems``; ``counted`` is called with the number of records whenever it changes."""
        self._problems = problems or Problems()
        self._counted = counted
        self._records: set[str] = set()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._records)

    def add(self, finding: Finding) -> None:
        """Quarantine a record. At most ten thousand are remembered; the others are not used either."""
        with self._lock:
            if finding.record in self._records or len(self._records) >= _MAX_REMEMBERED:
                return
            self._records.add(finding.record)
            self._counted(len(self._records))
            logger.error("%s is not used: %s; restore the database from a backup", finding.record, finding.fault)
            # With the lock: a record that is released meanwhile must not be reported after that.
            self._problems.report(Subject.ROWS, _PROBLEM)

    def release(self, record: str) -> None:
        """Note that a record is good, or is gone."""
        with self._lock:
            self._release(record)

    def release_of_key(self, key_arn: str) -> None:
        """Note that all records of a key are gone: its own, those of its materials and of its grants."""
        with self._lock:
            for record in [each for each in self._records if each.endswith(f"key {key_arn}")]:
                self._release(record)

    def _release(self, record: str) -> None:
        if record not in self._records:
            return
        self._records.remove(record)
        self._counted(len(self._records))
        logger.warning("%s is not quarantined any more", record)
        if not self._records:
            self._problems.resolve(Subject.ROWS)


def material_record(material_id: str, key_arn: str) -> str:
    """Return what a finding calls a material of a key."""
    return f"key material {material_id} of key {key_arn}"


def count_record(account: object, region: object) -> str:
    """Return what a finding calls the number of customer managed keys of an account in a Region."""
    return f"the number of keys of account {printable(account)} in {printable(region)}"


def identity_record(account: str, kind: str, name_key: str) -> str:
    """Return what a finding calls a user, group, role or policy; ``name_key`` is its name in lower case."""
    return f"{kind} {name_key} of account {account}"


def printable(value: object) -> str:
    """Return a value of a damaged row for people: on one line, without control characters, and not long."""
    text = value if isinstance(value, str) and value.isprintable() else ascii(value)
    return text[:_MAX_NAME]
