"""Faults that every database can have: rows that this service did not write. And what faults are said to have met."""

import re
from collections.abc import Iterator
from traceback import walk_tb

import msgspec
from sqlalchemy.exc import MultipleResultsFound, NoResultFound, StatementError

from strongroom.store.faults import FaultKind, StoreFault
from strongroom.store.sql.history import EmptiedTableError

_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+\"?(\w+)")
_VALUE_ERRORS = (
    *(ValueError, TypeError, OverflowError, LookupError),
    msgspec.MsgspecError,
    *(StatementError, NoResultFound, MultipleResultsFound),
)
"""What is raised when a row is missing or has a value that this service does not write. UnicodeDecodeError is a
ValueError."""
_ROW_CODE = "strongroom.store.sql."


def fault_of_rows(error: Exception, *, writing: bool) -> StoreFault | None:
    """Return the fault of a row that made a read or a write fail; None if it failed for another reason."""
    if isinstance(error, EmptiedTableError):
        return StoreFault(FaultKind.EMPTIED, str(error), place_of("", writing=writing), writing)
    if isinstance(error, _VALUE_ERRORS) and (line := _line_in(error)) is not None:
        # Its text may have the value.
        return StoreFault(FaultKind.ROW, f"{type(error).__name__} at {line}", place_of("", writing=writing), writing)
    return None


def place_of(statement: str, *, writing: bool) -> str:
    """Return what was being done, such as "writing kms_key"."""
    table = _TABLE.search(statement)
    return ("writing" if writing else "reading") + (f" {table[1]}" if table else "")


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield what an error was raised from."""
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _line_in(error: BaseException) -> str | None:
    """Return the line of the code that makes objects of rows that raised an error; None for a defect elsewhere."""
    lines = [
        f"{frame.f_globals['__name__']}:{line}"
        for frame, line in walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).startswith(_ROW_CODE)
    ]
    return lines[-1] if lines else None
