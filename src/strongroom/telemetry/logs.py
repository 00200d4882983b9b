"""Log lines on standard error: as text, or as JSON with one object a line.

JSON is formatted here rather than by a library, so that only the fields named below can get into a line. It is ASCII,
so that no character of a message breaks a line or its encoding.
"""

import atexit
import json
import logging
import sys
import threading
import time
from types import TracebackType

from typing_extensions import override

from strongroom.settings import Settings
from strongroom.telemetry.log_queue import LogQueue

_FIELDS = ("request_id", "service", "operation", "outcome", "duration", "source")
"""The fields that a line may have beside its message; see ``telemetry/access_log.py``."""
_REPEATED = ("opentelemetry", "urllib3", "requests")
"""Loggers of libraries that log every batch they cannot send. One line a minute is enough."""
_QUIET = 60.0
_STANDARD_ERROR = 2


class TextFormatter(logging.Formatter):
    """Time, level, logger, message; then the request's id, where there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        # A record has this attribute only if the logging call passed it.
        request_id = getattr(record, "request_id", None)
        return line if request_id is None else f"{line} request_id={request_id}"


class JsonFormatter(logging.Formatter):
    """One object a line; time in UTC (RFC 3339), a traceback as one string."""

    def __init__(self, worker: str | None) -> None:
        super().__init__()
        self._origin = {} if worker is None else {"worker": worker}

    def name_node(self, node: str) -> None:
        """Show the name of the node in every line from now on."""
        self._origin = {**self._origin, "node": node}

    @override
    def format(self, record: logging.LogRecord) -> str:
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{second}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._origin,
        }
        line |= {name: record.__dict__[name] for name in _FIELDS if name in record.__dict__}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class Sparing(logging.Filter):
    """A filter that passes one line a minute of a library's repeated messages."""

    def __init__(self) -> None:
        super().__init__()
        self._last = -_QUIET

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(_REPEATED):
            return True
        if record.created - self._last < _QUIET:
            return False
        self._last = record.created
        return True


def start_logging(settings: Settings, worker: str | None) -> LogQueue:
    """Log to standard error, under the name of the worker or the supervisor.

    Returns the queue that all lines go through, so that logging never waits for the reader of standard error. Only the
    end of the process waits, for some seconds.
    """
    lines = LogQueue(_STANDARD_ERROR)
    lines.setFormatter(JsonFormatter(worker) if settings.log_format == "json" else TextFormatter())
    lines.addFilter(Sparing())
    lines.start()
    atexit.register(lines.close_soon)
    logging.basicConfig(handlers=[lines])
    set_log_level(settings)
    logging.captureWarnings(capture=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    return lines


def set_log_level(settings: Settings) -> None:
    """Log from the level of the settings on."""
    logging.getLogger().setLevel(settings.log_level.upper())


def name_node(lines: LogQueue, node: str) -> None:
    """Add the name of the node to JSON lines, once the data folder is open. Text lines do not have it."""
    if isinstance(lines.formatter, JsonFormatter):
        lines.formatter.name_node(node)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is not None and not issubclass(kind, KeyboardInterrupt):
        logging.getLogger("strongroom").critical("uncaught", exc_info=(kind, error, trace))
