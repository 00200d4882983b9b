"""Runs a write again after a fault that the next attempt may not have."""

import logging
from collections.abc import Callable
from enum import Enum
from typing import TypeVar

from strongroom.errors import DependencyTimeoutException

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Fault(Enum):
    """The kind of fault that made an attempt fail. In both cases nothing of the attempt was written."""

    TRANSIENT = "transient"
    """The database rolled the transaction back for a reason outside it, such as a deadlock."""
    CONFLICT = "conflict"
    """A constraint, or the condition of a guarded statement, refused a row because another writer was faster."""


MAX_RETRIES = {Fault.TRANSIENT: 3, Fault.CONFLICT: 1}
"""The number of retries for each kind of fault.

After a conflict, the next attempt reads the other writer's row and returns an error by itself, so one retry is enough.
"""


class WriteConflict(DependencyTimeoutException):
    """A guarded statement changed no row: another writer has changed or removed the row since it was read."""

    code = DependencyTimeoutException.code


def run_with_retries(
    attempt: Callable[[], T],
    fault_of: Callable[[Exception], Fault | None],
    time_limit: float,
    timer: Callable[[], float],
) -> T:
    """Run ``attempt`` until it returns, and return its result.

    It is run again while ``fault_of`` names the kind of fault, MAX_RETRIES is not reached for that kind, and
    ``time_limit`` (seconds, measured by ``timer``) is not over. Raises what the last attempt raised.
    """
    deadline = timer() + time_limit
    retries = dict.fromkeys(Fault, 0)
    while True:
        try:
            return attempt()
        except Exception as error:
            fault = fault_of(error)
            if fault is None or retries[fault] == MAX_RETRIES[fault] or timer() >= deadline:
                raise
            retries[fault] += 1
            # The error itself is not logged: its text has the values of the row.
            logger.info("retrying a write after a %s fault (%s)", fault.value, type(error).__name__)
