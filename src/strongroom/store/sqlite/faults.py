"""Which faults of SQLite allow a write to be run again."""

import sqlite3

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from strongroom.errors import DependencyTimeoutException
from strongroom.store.retries import Fault, WriteConflict

DatabaseError = DBAPIError
"""What a read or a start raises if the database file is damaged, cannot be written, or is no database."""

_CONFLICTS = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    # The row that this one belongs to was removed since it was read.
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY,
}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_PRIMARY_CODE = 0xFF


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


def _code(error: IntegrityError | OperationalError) -> int:
    """Return SQLite's extended result code, or 0 if the driver raised the error by itself."""
    if not isinstance(error.orig, sqlite3.Error):
        return 0
    try:
        return error.orig.sqlite_errorcode
    except AttributeError:
        # Only errors that come from SQLite itself have it.
        return 0
