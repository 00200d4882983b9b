"""The access log: a line for each call.

Lines are formatted on the thread that writes the log, so that no call waits. A line has the source address, the
operation and the outcome. It has nothing of the request's or response's content.
"""

import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from strongroom.http.trusted_proxies import TrustedProxies
from strongroom.telemetry.answered_call import AnsweredCall

_TEXT = "%s:%s %s in %.6f s from %s"


class Lines(Protocol):
    """The queue of log lines, as the access log uses it."""

    def defer(self, make: Callable[[], logging.LogRecord]) -> bool:
        """Log the record that ``make`` returns on another thread; return False if there is no room. It never waits."""
        ...


class _Line(msgspec.Struct, frozen=True):
    """The fields of one line. ``duration`` is in seconds, from the complete request to its answer."""

    request_id: str
    service: str
    operation: str
    outcome: str
    duration: float
    source: str

    def record(self) -> logging.LogRecord:
        """Return the line as a log record.

        Its level is not compared with ``log_level``: the access log has its own setting.
        """
        shown = (self.service, self.operation, self.outcome, self.duration, self.source)
        record = logging.LogRecord("strongroom.access", logging.INFO, __file__, 0, _TEXT, shown, None)
        record.__dict__.update(msgspec.structs.asdict(self))
        return record


class AccessLog:
    """Adds calls to the log on the event loop. If the queue is full, lines are dropped and counted."""

    def __init__(self, proxies: TrustedProxies, lines: Lines) -> None:
        self._proxies = proxies
        self._lines = lines
        self.lost = 0

    def answered(self, call: AnsweredCall) -> None:
        """Add the line of a call."""
        source, _ = self._proxies.origin(call.request)
        operation = call.operation
        line = _Line(call.request_id, operation.service, operation.name, call.outcome, call.duration, source)
        if not self._lines.defer(line.record):
            self.lost += 1
