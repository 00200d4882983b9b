"""A bounded queue of log lines, and one thread that writes them to standard error.

Standard error may be a pipe whose reader does not read. Then a write blocks without a limit, but only on the writing
thread. It writes to the file descriptor itself, because the lock of Python's file object could be held when the process
ends.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue

from typing_extensions import override

from strongroom.descriptors import wait_writable

_MOST_DEFERRED = 10_000
_MOST = 11_000
"""The most lines that may wait. The access log leaves some room for warnings and errors."""
_PATIENCE = 3.0
"""Seconds that the end of the process waits for queued lines to be written."""


class LogQueue(logging.Handler):
    """Queues lines without waiting. Lines beyond the bound are dropped, and a later line tells how many.

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
        """Start the writing thread."""
        self._writer.start()

    def close_soon(self) -> None:
        """Write the queued lines and stop the thread; drop those that are not written after some seconds."""
        self._lines.put(None)
        self._writer.join(_PATIENCE)

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if self._lines.qsize() < _MOST:
            # Formatted now: a traceback would keep the local variables of its functions alive.
            self._lines.put(self._text(record))
        else:
            self._count_lost()

    def defer(self, make: Callable[[], logging.LogRecord]) -> bool:
        """Log the record that ``make`` returns on the writing thread; return False if there is no room."""
        if self._lines.qsize() < _MOST_DEFERRED:
            self._lines.put(make)
            return True
        self._count_lost()
        return False

    def _count_lost(self) -> None:
        with self._counting:
            self._lost += 1

    def _write_all(self) -> None:
        # Signals are handled by the main thread.
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
            self._write(self._text(_own_record(logging.WARNING, f"{lost} lines of the log found no room to wait")))

    def _text(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception:  # noqa: BLE001 - a malformed line must end neither the thread that logs nor the one that writes
            return self.format(_own_record(logging.ERROR, f"a line of {record.name} cannot be written: {record.msg!a}"))

    def _write(self, line: str) -> None:
        left = f"{line}\n".encode(errors="backslashreplace")
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                # Another process that shares the descriptor has made it non-blocking.
                wait_writable(self._descriptor)
            except OSError:
                # The reader has closed the pipe, or the disk is full. The loss is reported when writing succeeds again.
                self._count_lost()
                return


def _own_record(level: int, message: str) -> logging.LogRecord:
    return logging.LogRecord(__name__, level, __file__, 0, message, (), None)
