"""What SQLSTATEs mean, also those that the tests of faults cannot provoke."""

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from strongroom.errors import DependencyTimeoutException, WriteOutcomeUnknown
from strongroom.store.faults import FaultKind
from strongroom.store.postgresql.connection import DeadlineError
from strongroom.store.postgresql.faults import Retry, fault_met, is_refusal, retry_of, unfit_value
from strongroom.store.retries import WriteConflict

LOST, AGAIN, CONFLICT = Retry.LOST, Retry.ROLLED_BACK, Retry.CONFLICT


@pytest.mark.parametrize(
    ("code", "kind", "retry"),
    [
        ("08006", FaultKind.CONNECTION, LOST),
        ("57P01", FaultKind.CONNECTION, LOST),
        ("57P02", FaultKind.CONNECTION, LOST),
        ("57P03", FaultKind.CONNECTION, LOST),
        ("25006", FaultKind.STANDBY, LOST),
        ("25P03", FaultKind.BUSY, LOST),
        ("40001", FaultKind.BUSY, AGAIN),
        ("40P01", FaultKind.BUSY, AGAIN),
        ("55P03", FaultKind.BUSY, AGAIN),
        ("57014", FaultKind.BUSY, None),
        ("23505", FaultKind.CONFLICT, CONFLICT),
        ("23503", FaultKind.CONFLICT, CONFLICT),
        ("53100", FaultKind.FULL, None),
        ("58030", FaultKind.IO, None),
        ("XX001", FaultKind.DAMAGED, None),
        ("XX002", FaultKind.DAMAGED, None),
        ("42501", FaultKind.DENIED, None),
        ("42P01", FaultKind.SCHEMA, None),
        ("42703", FaultKind.SCHEMA, None),
        ("42601", FaultKind.OTHER, None),
    ],
)
def test_what_a_code_means(code: str, kind: FaultKind, retry: Retry | None) -> None:
    raised = errors.lookup(code)("the text may have the value of a row")
    wrapped = OperationalError("UPDATE kms_key SET x", None, raised)
    for error in (raised, wrapped):
        fault = fault_met(error, writing=True)
        assert fault is not None
        assert fault.kind is kind
        assert fault.reason.startswith(code)
        assert "value of a row" not in fault.reason
        assert fault.place == ("writing" if error is raised else "writing kms_key")
        assert retry_of(error) is retry


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("connection refused", FaultKind.CONNECTION),
        ("FATAL: the database system is starting up", FaultKind.CONNECTION),
        ("FATAL: sorry, too many clients already", FaultKind.CROWDED),
        ("FATAL: remaining connection slots are reserved", FaultKind.CROWDED),
    ],
)
def test_what_libpq_says_of_connecting(text: str, kind: FaultKind) -> None:
    error = psycopg.OperationalError(f"connection failed: {text}\n")
    fault = fault_met(error, writing=False)
    assert fault is not None
    assert fault.kind is kind
    assert text in fault.reason
    assert retry_of(error) is LOST
    assert not is_refusal(error)


def test_what_is_no_fault_of_the_database() -> None:
    assert fault_met(ZeroDivisionError(), writing=True) is None
    assert fault_met(DependencyTimeoutException("of an external key store"), writing=True) is None
    assert retry_of(ZeroDivisionError()) is None
    assert unfit_value(ZeroDivisionError()) is None
    conflict = fault_met(WriteConflict(""), writing=True)
    assert conflict is not None
    assert (conflict.kind, retry_of(WriteConflict(""))) == (FaultKind.CONFLICT, CONFLICT)


def test_an_unknown_outcome_has_the_fault_that_it_comes_from() -> None:
    for cause, kind in (
        (DeadlineError("late"), FaultKind.BUSY),
        (errors.AdminShutdown(), FaultKind.CONNECTION),
        (PoolTimeoutError(), FaultKind.CROWDED),
        (None, FaultKind.BUSY),
    ):
        unknown = WriteOutcomeUnknown("")
        unknown.__cause__ = cause
        fault = fault_met(unknown, writing=True)
        assert fault is not None
        assert fault.kind is kind


@pytest.mark.parametrize("code", ["22001", "22021", "54000"])
def test_values_that_do_not_fit_are_refused(code: str) -> None:
    assert unfit_value(errors.lookup(code)()) is not None
    assert unfit_value(psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")) is not None
    assert unfit_value(errors.lookup("23505")()) is None
