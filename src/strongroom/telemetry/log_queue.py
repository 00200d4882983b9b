"""What stands between those who log and whoever reads standard error: a bounded queue, and one thread that writes.

A pipe whose reader stands still fills up, and the next write to it waits for ever. Here only the writing thread does.
It writes to the file descriptor itself: Python's own objects for it have locks, which would be wanted at the end, too.
"""

import logging
import os
import select
import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue

from typing_extensions import override

_MOST_DEFERRED = 10_000
_MOST = 11_000
"""How many lines may wait. Lines of calls leave some room for those that tell what is wrong."""
_PATIENCE = 3.0
"""Seconds that the end of the process waits for what has not been written."""


class LogQueue(logging.Handler):
    """Takes lines without ever waiting; those that find no room are counted, and the log tells how many there were.

    ``descriptor`` is the file descriptor to write to. Safe to use from several threads.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._lines: SimpleQueue[str | Callable[[], logging.LogRecord] | None] = SimpleQueue()
        self._lost = 0
        self._counting = threading.Lock()
        self._writer = threading.Thread(target=self._write_all, name="log", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._writer.start()

    def close_soon(self) -> None:
        """Write what waits, and end; after some seconds, leave what is left then."""
        self._lines.put(None)
        self._writer.join(_PATIENCE)

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if self._lines.qsize() < _MOST:
            # As text: a traceback keeps alive what its functions had at hand.
            self._lines.put(self._text(record))
        else:
            self._count_lost()

    def defer(self, make: Callable[[], logging.LogRecord]) -> bool:
        """Log what ``make`` returns when it is called on the writing thread; tell whether there was room."""
        if self._lines.qsize() < _MOST_DEFERRED:
            self._lines.put(make)
            return True
        self._count_lost()
        return False

    def _count_lost(self) -> None:
        with self._counting:
            self._lost += 1

    def _write_all(self) -> None:
        # Signals are for the thread that knows what to do with them.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while (line := self._lines.get()) is not None:
            self._write(line if isinstance(line, str) else self._text(line()))
            if self._lost and self._lines.qsize() < _MOST // 2:
                self._tell_lost()
        self._tell_lost()

    def _tell_lost(self) -> None:
        with self._counting:
            lost, self._lost = self._lost, 0
        if lost:
            self._write(self._text(_about(logging.WARNING, f"{lost} lines of the log found no room to wait")))

    def _text(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception:  # noqa: BLE001 - a line that is wrong must end neither who logs nor who writes
            return self.format(_about(logging.ERROR, f"a line of {record.name} cannot be written: {record.msg!a}"))

    def _write(self, line: str) -> None:
        left = f"{line}\n".encode(errors="backslashreplace")
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                # Whoever shares it has made it so.
                select.select([], [self._descriptor], [])
            except OSError:
                # A reader that is gone, a full disk: there is nobody to tell before it is better.
                self._count_lost()
                return


def _about(level: int, message: str) -> logging.LogRecord:
    return logging.LogRecord(__name__, level, __file__, 0, message, (), None)
