"""Faults that a developer has injected: calls that are refused with an error of AWS, or answered late."""

import copy
import itertools
import threading
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from strongroom import errors
from strongroom.api.aws_query import form_field
from strongroom.arns import account_in
from strongroom.development.accounts import require_account
from strongroom.operations.context import Context
from strongroom.operations.iam.table import IAM_TABLE
from strongroom.operations.kms.table import TABLE
from strongroom.operations.operation import Operation
from strongroom.operations.sts.table import STS_TABLE
from strongroom.operations.targets import Target
from strongroom.service.call import Call

MakeError: TypeAlias = Callable[[], errors.KmsError]

_TABLES = (TABLE, IAM_TABLE, STS_TABLE)
_LONGEST_DELAY = 300.0
_MOST_TIMES = 1_000_000
MOST_FAULTS = 1000
THROTTLED = "Rate exceeded"
"""AWS's wording for a ThrottlingException."""


class FaultError(ValueError):
    """A fault cannot be injected; the message says why."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens to calls of an operation: an ``error`` of AWS by its code, a ``delay`` in seconds, or both.

    ``times`` is to how many calls it happens, None for all of them until it is cleared. ``account`` has whose calls
    alone are concerned, None for those of all accounts.
    """

    operation: str
    error: str | None = None
    message: str | None = None
    delay: float = 0.0
    times: int | None = None
    account: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no account; raises ValueError."""
        require_account(self.account)


class InjectedFault(msgspec.Struct, frozen=True):
    """A fault as it is now: ``times`` counts down."""

    id: int
    fault: Fault


class Effect(msgspec.Struct, frozen=True):
    """What happens to one call. ``faulty`` is the operation that runs in the place of its own, and is refused.

    ``cleared`` is set when the fault is cleared while the call is delayed.
    """

    delay: float
    faulty: Operation | None
    cleared: threading.Event


class _Active:
    """A fault that is in force, and how many calls it is still for."""

    def __init__(self, number: int, fault: Fault, error: MakeError | None) -> None:
        self.number = number
        self.fault = fault
        self.left = fault.times
        self.error = error

    def concerns(self, call: Call) -> bool:
        account = self.fault.account
        return self.fault.operation == call.operation.name and account in {None, _account_of(call)}


class Faults:
    """The faults that are in force. Safe to use from several threads."""

    def __init__(self, most_delayed: int) -> None:
        """``most_delayed`` is how many calls are delayed at once: each holds a thread. Further ones are throttled."""
        self._most_delayed = most_delayed
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._active: list[_Active] = []
        self._delayed: list[tuple[str | None, Effect]] = []
        """What happens to the calls that are delayed at present, with the account that the fault is for."""

    def inject(self, fault: Fault) -> InjectedFault:
        """Have a fault happen to calls from now on; raises FaultError."""
        error = _checked(fault)
        with self._lock:
            if len(self._active) >= MOST_FAULTS:
                raise FaultError(f"there are {MOST_FAULTS} faults already; clear them first")
            active = _Active(next(self._numbers), fault, error)
            self._active.append(active)
        return InjectedFault(active.number, fault)

    def all(self) -> list[InjectedFault]:
        """Return the faults that are in force, the first of an operation being the next that happens."""
        with self._lock:
            return [InjectedFault(each.number, replace(each.fault, times=each.left)) for each in self._active]

    def clear(self, account: str | None = None) -> None:
        """End all faults, or those of one account. Calls that are delayed by them go on."""
        with self._lock:
            self._active = [each for each in self._active if account not in {None, each.fault.account}]
            for owner, effect in self._delayed:
                if account in {None, owner}:
                    effect.cleared.set()

    def delays(self, call: Call) -> bool:
        """Tell whether the fault that would happen to a call takes time."""
        with self._lock:
            active = self._first(call)
            return active is not None and active.fault.delay > 0

    def take(self, call: Call) -> Effect | None:
        """Return what happens to a call, and count that; None if nothing does.

        The call has the operation that would run. A refusal is a copy of it, whose audit record leaves out the same.
        """
        with self._lock:
            active = self._first(call)
            if active is None:
                return None
            if active.left is not None:
                active.left -= 1
                if active.left == 0:
                    self._active.remove(active)
            if active.fault.delay and len(self._delayed) >= self._most_delayed:
                return Effect(0.0, self._too_many(call.operation), threading.Event())
            faulty = None if active.error is None else _refused(call.operation, active.error)
            effect = Effect(active.fault.delay, faulty, threading.Event())
            if effect.delay:
                self._delayed.append((active.fault.account, effect))
            return effect

    def wait(self, effect: Effect) -> None:
        """Delay a call as long as it is to be, or until the fault is cleared."""
        if effect.delay:
            effect.cleared.wait(effect.delay)
            with self._lock:
                self._delayed = [each for each in self._delayed if each[1] is not effect]

    def _too_many(self, operation: Operation) -> Operation:
        said = f"This development server delays {self._most_delayed} calls at once at most."
        return _refused(operation, _error(errors.ThrottlingException.code, said))

    def _first(self, call: Call) -> _Active | None:
        return next((each for each in self._active if each.concerns(call)), None)


def _account_of(call: Call) -> str:
    """Return the account of a call: its caller's, or that of the role for which a call without a signature asks."""
    if call.signed:
        return call.credential.principal.account
    return account_in(form_field(call.body, b"RoleArn") or "")


def _checked(fault: Fault) -> MakeError | None:
    """Return what makes the error of a fault, None if it has none; raises FaultError for one that cannot be."""
    _require_operation(fault.operation)
    if fault.error is None and fault.delay == 0:
        raise FaultError("a fault has an `error`, a `delay`, or both")
    if not 0 <= fault.delay <= _LONGEST_DELAY:
        raise FaultError(f"`delay` is at most {_LONGEST_DELAY:g} seconds")
    if fault.times is not None and not 0 < fault.times <= _MOST_TIMES:
        raise FaultError(f"`times` is from 1 to {_MOST_TIMES}, or null for all calls until the fault is cleared")
    return None if fault.error is None else _error(fault.error, fault.message)


def _require_operation(name: str) -> None:
    known = [each for table in _TABLES for each in table]
    if name not in known:
        raise FaultError(_unknown("operation", name, known))


def _error(code: str, message: str | None) -> MakeError:
    kind = _ERRORS.get(code)
    if kind is None:
        raise FaultError(_unknown("error", code, [*_ERRORS]))
    if message is None:
        message = THROTTLED if kind is errors.ThrottlingException else "This error was injected."
    said = errors.KmsError(message).message

    def error() -> errors.KmsError:
        made = kind()
        made.message = said
        return made

    return error


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    similar = get_close_matches(name, known, 1, 0.6)
    return f"{name[:64]!a} is no {what} of this server{f'; did you mean {similar[0]}?' if similar else ''}"


def _refused(operation: Operation, error: MakeError) -> Operation:
    """Return an operation that fails when its targets are looked for, which is before authorization.

    So the refusal is recorded, counted and answered like any other.
    """

    def locate(_context: Context, _request: Any) -> Sequence[Target]:  # noqa: ANN401 - a request of any operation
        raise error()

    faulty = copy.copy(operation)
    faulty.locate = locate
    return faulty


def _codes() -> dict[str, type[errors.KmsError]]:
    found: dict[str, type[errors.KmsError]] = {}
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.KmsError) and kind is not errors.KmsError:
            # The first of a code is the one that AWS has; others are for the operator.
            found.setdefault(kind.code, kind)
    return found


_ERRORS = _codes()
