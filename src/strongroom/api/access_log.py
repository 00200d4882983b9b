"""The access log: a line for each call, written on a thread of its own, so that no call waits for whoever reads it.

A line tells who asked from where, for what, and how it ended; nothing of what was sent or answered.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import msgspec

from strongroom.api.message import HttpRequest, Reply
from strongroom.api.proxies import TrustedProxies

_MOST_WAITING = 10_000

logger = logging.getLogger("strongroom.access")


class _Line(msgspec.Struct, frozen=True):
    """``duration`` in seconds, from the whole request to its answer."""

    request_id: str
    service: str
    operation: str
    outcome: str
    duration: float
    source: str


class AccessLog:
    """Notes calls on the event loop; ``writing`` logs them. Lines that come while too many wait are only counted."""

    def __init__(self, proxies: TrustedProxies) -> None:
        self._proxies = proxies
        self._lines: SimpleQueue[_Line | None] = SimpleQueue()
        self.lost = 0

    def answered(self, request: HttpRequest, reply: Reply, _flushing: float, flushed: float) -> None:
        """Take note of a call."""
        if reply.operation is None:
            return
        if self._lines.qsize() >= _MOST_WAITING:
            self.lost += 1
            return
        source, _ = self._proxies.origin(request)
        service, name = reply.operation.service, reply.operation.name
        self._lines.put(_Line(reply.request_id, service, name, reply.outcome, flushed - request.begun, source))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write lines on a thread; at the end, those that wait."""
        thread = threading.Thread(target=self._write, name="access-log")
        thread.start()
        try:
            yield
        finally:
            self._lines.put(None)
            thread.join()

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            logger.info(
                "%s:%s %s in %.6f s from %s",
                *(line.service, line.operation, line.outcome, line.duration, line.source),
                extra=msgspec.structs.asdict(line),
            )
