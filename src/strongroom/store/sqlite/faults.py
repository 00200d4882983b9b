"""Which faults SQLite reports, and which of them allow a write to be run again."""

import errno
import re
import sqlite3

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from strongroom.errors import DependencyTimeoutException, TargetChanged
from strongroom.store.faults import FaultKind, StoreDamaged, StoreFault, StoreUnavailable
from strongroom.store.retries import Fault, WriteConflict
from strongroom.store.sql.row_faults import causes, fault_of_rows, place_of

DatabaseError = DBAPIError
"""What a start raises if the database file is damaged, cannot be written, or is no database."""

_CONFLICTS = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    # The row that this one belongs to was removed since it was read.
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY,
}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_PRIMARY_CODE = 0xFF
_KINDS = {
    sqlite3.SQLITE_BUSY: FaultKind.BUSY,
    sqlite3.SQLITE_LOCKED: FaultKind.BUSY,
    sqlite3.SQLITE_PROTOCOL: FaultKind.BUSY,
    sqlite3.SQLITE_FULL: FaultKind.FULL,
    sqlite3.SQLITE_IOERR: FaultKind.IO,
    sqlite3.SQLITE_READONLY: FaultKind.UNWRITABLE,
    sqlite3.SQLITE_PERM: FaultKind.UNWRITABLE,
    sqlite3.SQLITE_AUTH: FaultKind.UNWRITABLE,
    sqlite3.SQLITE_CANTOPEN: FaultKind.UNREACHABLE,
    sqlite3.SQLITE_NOMEM: FaultKind.STARVED,
    sqlite3.SQLITE_CORRUPT: FaultKind.DAMAGED,
    sqlite3.SQLITE_NOTADB: FaultKind.DAMAGED,
}
"""Result codes of SQLite (sqlite.org/rescode.html), primary ones, and the kinds of faults they are."""
_KINDS_OF_LOCK = {
    errno.ENOSPC: FaultKind.FULL,
    errno.EDQUOT: FaultKind.FULL,
    errno.EIO: FaultKind.IO,
    errno.EROFS: FaultKind.UNWRITABLE,
    errno.EAGAIN: FaultKind.STARVED,
    errno.EMFILE: FaultKind.STARVED,
    errno.ENFILE: FaultKind.STARVED,
    errno.ENOLCK: FaultKind.STARVED,
    errno.ENOMEM: FaultKind.STARVED,
}
"""What keeps the file that lets one process write at a time from being locked, and the kinds of faults they are."""
_UNDECODABLE = re.compile(r"Could not decode to UTF-8 column '(\w+)'")


class TransactionRolledBack(DependencyTimeoutException):
    """SQLite rolled a group's transaction back before its COMMIT, so nothing was written.

    SQLite does so by itself after some faults, for example a full disk (sqlite.org/lang_transaction.html, "Response
    To Errors Within A Transaction"). All writers of the group lose their writes then, though only one had the fault.
    """

    code = DependencyTimeoutException.code


def fault_of(error: Exception) -> Fault | None:
    """Return what kind of retryable fault an error is, or None if running the write again would not help.

    A full disk, an I/O error and a database that cannot be written are not retryable for the writer that met them.
    A COMMIT that failed is not retryable either, because its outcome is unknown.
    """
    if isinstance(error, WriteConflict):
        return Fault.CONFLICT
    if isinstance(error, TransactionRolledBack):
        return Fault.TRANSIENT
    if isinstance(error, IntegrityError) and _code(error) in _CONFLICTS:
        return Fault.CONFLICT
    if isinstance(error, OperationalError) and _code(error) & _PRIMARY_CODE in _BUSY:
        return Fault.TRANSIENT
    return None


def fault_met(error: Exception, *, writing: bool) -> StoreFault | None:
    """Return the fault of the database that made a read or a write fail; None if it failed for another reason.

    What has been returned as a fault already (StoreUnavailable, StoreDamaged) is none again.
    """
    if isinstance(error, StoreUnavailable | StoreDamaged | TargetChanged):
        return None
    if isinstance(error, DependencyTimeoutException):
        return _fault_behind(error, writing=writing)
    if isinstance(error, DBAPIError | sqlite3.Error):
        return fault_of_sqlite(error, writing=writing)
    return fault_of_rows(error, writing=writing)


def _fault_behind(error: DependencyTimeoutException, *, writing: bool) -> StoreFault:
    """Return the fault of a write that got no answer: that of the database or of its lock, if there was one."""
    if isinstance(error, WriteConflict):
        return StoreFault(FaultKind.CONFLICT, "", "", writing)
    for cause in causes(error):
        if isinstance(cause, DBAPIError | sqlite3.Error):
            return fault_of_sqlite(cause, writing=writing)
        if isinstance(cause, OSError) and not isinstance(cause, TimeoutError):
            return _fault_of_lock(cause)
    # A member of a group fails with the commit of all, which is reported by one that has written.
    kind = FaultKind.ROLLED_BACK if isinstance(error, TransactionRolledBack) else FaultKind.BUSY
    return StoreFault(kind, "", "", writing)


def fault_of_sqlite(raised: DBAPIError | sqlite3.Error, *, writing: bool) -> StoreFault:
    """Return the fault that SQLite, or its driver, reports."""
    place = place_of((isinstance(raised, DBAPIError) and raised.statement) or "", writing=writing)
    error = raised.orig if isinstance(raised, DBAPIError) else raised
    code = _code_of(error)
    if not isinstance(error, sqlite3.Error):
        return StoreFault(FaultKind.OTHER, type(error).__name__, place, writing)
    if not code:
        # The driver raised it by itself: its text may have the value of a row.
        undecodable = _UNDECODABLE.match(str(error))
        if undecodable:
            return StoreFault(FaultKind.ROW, f"column {undecodable[1]} is not UTF-8", place, writing)
        return StoreFault(FaultKind.OTHER, type(error).__name__, place, writing)
    reason = f"{error.sqlite_errorname}: {error}"
    if code in _CONFLICTS:
        return StoreFault(FaultKind.CONFLICT, reason, place, writing)
    if code == sqlite3.SQLITE_ERROR and "no such" in str(error):
        return StoreFault(FaultKind.SCHEMA, reason, place, writing)
    return StoreFault(_KINDS.get(code & _PRIMARY_CODE, FaultKind.OTHER), reason, place, writing)


def _fault_of_lock(error: OSError) -> StoreFault:
    """Return the fault of the file that lets one process write at a time."""
    kind = _KINDS_OF_LOCK.get(error.errno or 0, FaultKind.UNREACHABLE)
    reason = f"{errno.errorcode.get(error.errno or 0, 'OSError')}: {error.strerror}"
    return StoreFault(kind, reason, "locking the file -writer beside it", writing=True)


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether SQLite says that a file is damaged, or is no database."""
    return _KINDS.get(_code_of(error) & _PRIMARY_CODE) is FaultKind.DAMAGED


def named_database(error: DatabaseError) -> str:
    """Return the words for the database that an error is of. Only that of this module is a file in the data folder."""
    return "`strongroom.db` in the data folder" if isinstance(error.orig, sqlite3.Error) else "the database"


def is_wrong_schema(error: OperationalError) -> bool:
    """Tell whether a statement does not fit the tables: what it makes exists, or what it changes does not."""
    return _code(error) == sqlite3.SQLITE_ERROR


def _code(error: IntegrityError | OperationalError) -> int:
    """Return SQLite's extended result code, or 0 if the driver raised the error by itself."""
    return _code_of(error.orig)


def _code_of(error: BaseException | None) -> int:
    try:
        return error.sqlite_errorcode if isinstance(error, sqlite3.Error) else 0
    except AttributeError:
        # Only errors that come from SQLite itself have it.
        return 0
