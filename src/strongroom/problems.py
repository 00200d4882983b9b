"""What an operator must know although calls are still answered: the node's open problems.

A part that finds such a problem reports it, and resolves it when it has ended. ``/readyz`` and the metrics show what is
open. Each process of a node keeps its own in a file, so that every worker can tell of all.
"""

import contextlib
import logging
import threading
from enum import StrEnum
from itertools import chain
from pathlib import Path

import msgspec

from strongroom.whole_files import replace_file

logger = logging.getLogger(__name__)


AGENT = "agent"
"""What the agent of a node is called where workers have names."""
SHIPPER = "shipper"
"""What the process that ships the audit log is called where workers have names."""


class Subject(StrEnum):
    """What a problem is about: at most one is open for each at a time."""

    STORE = "store"
    """The database: its files, its disk."""
    INTEGRITY = "integrity"
    """What a check of the whole database has found."""
    WRITE_AHEAD_LOG = "write-ahead-log"
    """A reader that keeps erased key material in the write-ahead log, or lets it grow."""
    LEASE = "lease"
    """The lease of this node, which its agent renews in the database that nodes share."""
    ROWS = "rows"
    """Rows of the database that were changed or damaged."""
    DOMAIN_KEYS = "domain-keys"
    """Domain keys that a command has made and this process cannot open."""
    CLOCK = "clock"
    DATABASE_CLOCK = "database-clock"
    """The clocks of this machine and of the database, which differ."""
    DESTRUCTIONS = "destructions"
    """Erased key material that its key back end still has."""
    AUDIT = "audit"
    AUDIT_SHIPPING = "audit-shipping"
    """A destination that the audit log is not shipped to, or too slowly."""
    CERTIFICATE = "certificate"
    REGIONS = "regions"
    TOKEN = "token"  # noqa: S105 - a hardware token


class Problem(msgspec.Struct, frozen=True, order=True):
    """One open problem, in a sentence for people."""

    subject: Subject
    text: str


_read = msgspec.json.Decoder(list[Problem]).decode


class Problems:
    """The open problems of this process, and of the other workers of its node. Safe to use from several threads."""

    def __init__(self, folder: Path | None = None, worker: str = "") -> None:
        """Keep the problems of ``worker`` in ``folder``, which is made if needed; without a folder, in memory alone."""
        self._folder = folder
        self._file = None if folder is None else folder / worker
        self._open: dict[Subject, Problem] = {}
        self._lock = threading.Lock()
        if folder is not None:
            folder.mkdir(mode=0o700, exist_ok=True)
        self._save()

    def report(self, subject: Subject, text: str) -> None:
        """Open a problem, or change its text. It is logged once, not each time it is found again."""
        with self._lock:
            problem = Problem(subject, text)
            if self._open.get(subject) == problem:
                return
            self._open[subject] = problem
            self._save()
        logger.error("%s", text)

    def resolve(self, subject: Subject) -> None:
        """Close a problem, if it is open."""
        with self._lock:
            problem = self._open.pop(subject, None)
            if problem is None:
                return
            self._save()
        logger.info("no longer so: %s", problem.text)

    def current(self) -> list[Problem]:
        """Return the open problems of this process."""
        with self._lock:
            return sorted(self._open.values())

    def of_node(self) -> list[Problem]:
        """Return the open problems of all workers, each once. Reads files, so it is not for the event loop."""
        kept = [] if self._folder is None else problems_in(self._folder, self._file)
        return sorted({*self.current(), *kept})

    def close(self) -> None:
        """Remove the file of this worker: it has no problems any more."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _save(self) -> None:
        """Write the open problems for the other workers. Where that fails, only this worker tells of them."""
        if self._file is None:
            return
        try:
            # It need not survive a crash of the machine: a start clears the folder.
            replace_file(self._file, msgspec.json.encode(sorted(self._open.values())), durable=False)
        except OSError as error:
            logger.warning("cannot write `%s`: %s", self._file, error.strerror)


def problems_in(folder: Path, left_out: Path | None = None) -> list[Problem]:
    """Return the problems that workers keep in a folder, each once, but not those in the file ``left_out``."""
    found = set[Problem]()
    # If the data folder is closed to this user, that is a problem of its own.
    with contextlib.suppress(OSError):
        for path in chain(folder.glob("[wx][0-9]*"), folder.glob(AGENT), folder.glob(SHIPPER)):
            # A worker that was killed may leave a draft (``whole_files``), which nothing else would ever remove here.
            if path != left_out and path.suffix != ".new":
                # A file that cannot be read says nothing.
                with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
                    found.update(_read(path.read_bytes()))
    return sorted(found)


def clear(folder: Path) -> None:
    """Remove what workers of an earlier start left in a folder. Only the process that has locked the node may."""
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
