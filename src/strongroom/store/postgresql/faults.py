"""Which faults PostgreSQL and its driver report, and which of them allow a write to be run again."""

from enum import Enum

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from strongroom.errors import DependencyTimeoutException, TargetChanged, ValidationException, WriteOutcomeUnknown
from strongroom.store.faults import FaultKind, StoreDamaged, StoreFault, StoreUnavailable
from strongroom.store.postgresql.connection import DeadlineError
from strongroom.store.postgresql.statements import DeploymentMovedError
from strongroom.store.retries import WriteConflict
from strongroom.store.sql.row_faults import causes, fault_of_rows, place_of

_CONFLICTS = {"23505", "23503"}
"""unique_violation; foreign_key_violation: the row that this one belongs to was removed since it was read."""
_ROLLED_BACK = {"40001", "40P01", "55P03"}
"""serialization_failure; deadlock_detected; lock_not_available: the database was asked to wait no longer."""
_ELSEWHERE = {"25006", "25P03"}
"""read_only_sql_transaction: this is a standby now; idle_in_transaction_session_timeout: this process was paused."""
_UNFIT_VALUES = {"22001", "22021", "54000"}
"""string_data_right_truncation; character_not_in_repertoire; program_limit_exceeded: too long for an index."""
_KINDS = {
    **dict.fromkeys(_CONFLICTS, FaultKind.CONFLICT),
    **dict.fromkeys(_ROLLED_BACK, FaultKind.BUSY),
    "57014": FaultKind.BUSY,
    "25P03": FaultKind.BUSY,
    "25006": FaultKind.STANDBY,
    "53100": FaultKind.FULL,
    "53300": FaultKind.CROWDED,
    "58030": FaultKind.IO,
    "XX001": FaultKind.DAMAGED,
    "XX002": FaultKind.DAMAGED,
    "42501": FaultKind.DENIED,
    "42P01": FaultKind.SCHEMA,
    "42703": FaultKind.SCHEMA,
}
"""SQLSTATEs (postgresql.org, "PostgreSQL Error Codes") and the kinds of faults they are."""
_NUMBERS = "change_pkey"
"""The constraint that no two entries of the change log have one number."""
_CONNECTION_CLASSES = ("08", "57P")


class Retry(Enum):
    """Why a write that has not committed may be run again."""

    ROLLED_BACK = "rolled back"
    """The database rolled the transaction back for a reason outside it."""
    CONFLICT = "conflict"
    """A constraint, or the condition of a guarded statement, refused a row because another writer was faster."""
    LOST = "lost"
    """The connection was lost, could not be made, or leads to a server that cannot be written."""


def retry_of(error: Exception) -> Retry | None:
    """Return why a write may be run again after an error, or None if that would not help.

    The write must not have sent its COMMIT, or the server must have refused it.
    """
    if isinstance(error, WriteConflict):
        return Retry.CONFLICT
    raised = driver_error(error)
    if raised is None:
        return None
    code = raised.sqlstate
    if code in _CONFLICTS:
        return None if _is_numbered_twice(raised) else Retry.CONFLICT
    if code in _ROLLED_BACK:
        return Retry.ROLLED_BACK
    is_lost = code is None and isinstance(raised, psycopg.OperationalError)
    return Retry.LOST if is_lost or code in _ELSEWHERE or _is_of_connection(code) else None


def is_refusal(error: Exception) -> bool:
    """Tell whether the server said that it did not do what it was asked to, and will not do it later."""
    raised = driver_error(error)
    return raised is not None and raised.diag.severity_nonlocalized == "ERROR"


def driver_error(error: BaseException) -> psycopg.Error | None:
    """Return the driver's error, if it is one or one of SQLAlchemy around it."""
    raised = error.orig if isinstance(error, DBAPIError) else error
    return raised if isinstance(raised, psycopg.Error) else None


def fault_met(error: Exception, *, writing: bool) -> StoreFault | None:
    """Return the fault of the database that made a read or a write fail; None if it failed for another reason.

    What has been returned as a fault already (StoreUnavailable, StoreDamaged) is none again.
    """
    if isinstance(error, StoreUnavailable | StoreDamaged | TargetChanged):
        return None
    if isinstance(error, WriteConflict):
        return StoreFault(FaultKind.CONFLICT, "", "", writing)
    if isinstance(error, WriteOutcomeUnknown):
        known = (cause for cause in causes(error) if isinstance(cause, Exception))
        faults = (fault_of_postgresql(cause, writing=writing) for cause in known)
        return next((each for each in faults if each is not None), StoreFault(FaultKind.BUSY, "", "", writing))
    if isinstance(error, DependencyTimeoutException):
        return None
    return fault_of_postgresql(error, writing=writing) or fault_of_rows(error, writing=writing)


def fault_of_postgresql(error: Exception, *, writing: bool) -> StoreFault | None:
    """Return the fault that PostgreSQL, its driver or the pool of connections reports; None for other errors."""
    place = place_of((isinstance(error, DBAPIError) and error.statement) or "", writing=writing)
    if isinstance(error, PoolTimeoutError):
        return StoreFault(FaultKind.CROWDED, "all connections of the pool are in use", place, writing)
    if isinstance(error, DeploymentMovedError):
        return StoreFault(FaultKind.LEFT, f"to {error}", place, writing)
    raised = driver_error(error)
    if raised is None:
        return None
    code = raised.sqlstate
    if isinstance(raised, DeadlineError):
        return StoreFault(FaultKind.BUSY, str(raised), place, writing)
    if code is None:
        # Without a code the driver raised it by itself; of a connection, the text is libpq's and names hosts only.
        is_lost = isinstance(raised, psycopg.OperationalError)
        reason = " ".join(str(raised).split()) if is_lost else type(raised).__name__
        return StoreFault(_kind_of_connecting(reason) if is_lost else FaultKind.OTHER, reason, place, writing)
    kind = FaultKind.CONNECTION if _is_of_connection(code) else _KINDS.get(code, FaultKind.OTHER)
    reason = f"{code}: {type(raised).__name__}"
    if _is_numbered_twice(raised):
        kind, reason = FaultKind.ROW, "`generation` is behind the newest entry of `change`"
    return StoreFault(kind, reason, place, writing)


def _is_numbered_twice(raised: psycopg.Error) -> bool:
    """Tell whether a commit got the number of another one, because the row of the generation was changed by hand."""
    return raised.diag.constraint_name == _NUMBERS


def _kind_of_connecting(reason: str) -> FaultKind:
    """Return the kind of a fault of connecting, for which the driver gives no SQLSTATE, only libpq's text."""
    is_crowded = any(text in reason for text in ("too many clients", "too many connections", "connection slots"))
    return FaultKind.CROWDED if is_crowded else FaultKind.CONNECTION


def _is_of_connection(code: str | None) -> bool:
    return code is not None and code.startswith(_CONNECTION_CLASSES)


def unfit_value(error: Exception) -> ValidationException | None:
    """Return the refusal of a value that PostgreSQL cannot hold, such as text with NUL; None for other errors."""
    raised = driver_error(error)
    if not isinstance(raised, psycopg.DataError) and (raised is None or raised.sqlstate not in _UNFIT_VALUES):
        return None
    return ValidationException("A value has a character that cannot be stored, or is too long.")
