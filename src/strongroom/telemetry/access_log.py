"""The access log: a line for each call, made on the thread that writes the log, so that no call waits for it.

A line has the source address, the operation and the outcome, and nothing of what was sent or answered.
"""

import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from strongroom.http.trusted_proxies import TrustedProxies
from strongroom.telemetry.answered_call import AnsweredCall

_TEXT = "%s:%s %s in %.6f s from %s"


class Lines(Protocol):
    """The log, as far as the access log needs it."""

    def defer(self, make: Callable[[], logging.LogRecord]) -> bool:
        """Log what ``make`` returns when it is called on another thread; tell whether there was room. Never waits."""
        ...


class _Line(msgspec.Struct, frozen=True):
    """``duration`` in seconds, from the whole request to its answer."""

    request_id: str
    service: str
    operation: str
    outcome: str
    duration: float
    source: str

    def record(self) -> logging.LogRecord:
        """Return the line as logging has it. It is wanted whatever the level: it has a setting of its own."""
        shown = (self.service, self.operation, self.outcome, self.duration, self.source)
        record = logging.LogRecord("strongroom.access", logging.INFO, __file__, 0, _TEXT, shown, None)
        record.__dict__.update(msgspec.structs.asdict(self))
        return record


class AccessLog:
    """Notes calls on the event loop. Lines that come while too many wait are only counted."""

    def __init__(self, proxies: TrustedProxies, lines: Lines) -> None:
        self._proxies = proxies
        self._lines = lines
        self.lost = 0

    def answered(self, call: AnsweredCall) -> None:
        """Take note of a call."""
        source, _ = self._proxies.origin(call.request)
        operation = call.operation
        line = _Line(call.request_id, operation.service, operation.name, call.outcome, call.duration, source)
        if not self._lines.defer(line.record):
            self.lost += 1
