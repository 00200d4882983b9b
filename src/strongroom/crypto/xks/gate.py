"""Keeps a proxy that does not answer from taking the threads that other key stores need.

Each key store has a gate, and each host has one for questions about its health. While a proxy answers, so many calls
are under way at a time, and further ones wait for their turn. Once several calls in a row had no answer, only very few
try, and all others are refused at once, until one has an answer again.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from strongroom.bounded_cache import put
from strongroom.errors import ThrottlingException
from strongroom.http.outgoing import Deadline, TooLate
from strongroom.keys.xks_failures import SILENT, XksError

_FAILING_AFTER = 3
"""Calls in a row without an answer after which a proxy counts as not answering."""
_PROBES = 2
"""The calls that are under way at a time while a proxy does not answer."""
_MAX_GATES = 10_000
_REFUSAL = (
    "The external key store proxy of this key store does not answer, or too many requests wait for it. "
    "Reduce the frequency of your calls using KMS keys in this external key store."
)

logger = logging.getLogger(__name__)


class Gate:
    """Counts the calls that go through it. Safe to use from several threads."""

    def __init__(self, name: str, at_once: int) -> None:
        """Let ``at_once`` calls through at a time; log lines call the gate by its name."""
        self._name = name
        self._at_once = at_once
        self._probes = min(_PROBES, at_once)
        self._under_way = 0
        self._silent = 0
        self._changed = Condition()

    @property
    def failing(self) -> bool:
        """Whether the proxy does not answer."""
        return self._silent >= _FAILING_AFTER

    @contextmanager
    def passed(self, deadline: Deadline) -> Iterator[None]:
        """Make a call while it is this call's turn; raises ThrottlingException if that does not come in time."""
        self._enter(deadline)
        silent = False
        try:
            yield
        except XksError as error:
            silent = error.failure in SILENT
            raise
        finally:
            self._leave(silent=silent)

    def _enter(self, deadline: Deadline) -> None:
        with self._changed:
            while self._under_way >= (self._probes if self.failing else self._at_once):
                if self.failing:
                    raise ThrottlingException(_REFUSAL)
                try:
                    self._changed.wait(deadline.left())
                except TooLate:
                    raise ThrottlingException(_REFUSAL) from None
            self._under_way += 1

    def _leave(self, *, silent: bool) -> None:
        with self._changed:
            before = self.failing
            self._under_way -= 1
            self._silent = self._silent + 1 if silent else 0
            if self.failing and not before:
                logger.warning("the external key store proxy of %s does not answer", self._name)
            elif before and not self.failing:
                logger.info("the external key store proxy of %s answers again", self._name)
            if self.failing:
                # Every call that waits is refused.
                self._changed.notify_all()
            else:
                self._changed.notify()


class Gates:
    """Gates by name, made when they are first needed."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._gates: dict[str, Gate] = {}

    def named(self, name: str) -> Gate:
        """Return the gate of a name."""
        gate = self._gates.get(name)
        return put(self._gates, name, Gate(name, self._at_once), _MAX_GATES) if gate is None else gate
