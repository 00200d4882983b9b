"""Replies wait until every required destination of the audit log has taken their records.

The process that ships is asked over a socket (``shipping.acknowledgements``). A reply that has waited too long becomes
an error: what it answers may have been done, as when the log itself cannot be written. From then on calls are refused
before they are run, until the destinations have taken what they owe.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from strongroom.errors import KmsError, KMSInternalException
from strongroom.shipping.acknowledgements import connect_to

logger = logging.getLogger(__name__)

_SWEEP = 0.1
"""How often, in seconds, it is looked for replies that have waited too long, and for a lost connection."""
_LONGEST_ANSWER = 4096

Done = Callable[[KmsError | None], None]


class RequiredShipping:
    """What waits for required destinations, in one worker.

    ``folder`` has the socket. ``last_line`` returns the segment and the number of the last line that ``writer`` has
    written. ``timeout`` is in seconds. All but ``takes`` belongs to the event loop that is attached.
    """

    def __init__(self, folder: Path, writer: str, last_line: Callable[[], tuple[str, int]], timeout: float) -> None:
        self._failing = False
        """Whether the required destinations owe lines for too long."""
        self._folder = folder
        self._writer = writer
        self._last_line = last_line
        self._timeout = timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: socket.socket | None = None
        self._received = b""
        self._waiting: deque[tuple[int, float, Done]] = deque()
        self._taken = 0
        self._owed = 0
        """While failing: the line whose taking ends that."""
        self._sweeping = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the event loop on which replies wait."""
        self._loop = loop

    def takes(self) -> bool:
        """Tell whether the destinations take what is written. Any thread may call this."""
        return not self._failing

    def hold(self, done: Done) -> None:
        """Call ``done`` with None when all lines written so far are taken, or with an error if that is late."""
        segment, last = self._last_line()
        # Without a segment, this process has written nothing: the last line is that of the one before it.
        if not segment or last <= self._taken:
            done(None)
            return
        self._waiting.append((last, self._attached.time() + self._timeout, done))
        self._ask(last)
        self._sweep_later()

    def close(self) -> None:
        """Close the connection. Nothing waits any more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._attached.remove_reader(connection)
            connection.close()

    @property
    def _attached(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None  # noqa: S101 - for the type checker
        return self._loop

    def _ask(self, number: int) -> None:
        if self._connection is None:
            self._connect()
        if self._connection is None:
            return
        # That which is written now, also for lines of the one before it: those were taken before its first line is.
        segment, _ = self._last_line()
        try:
            self._connection.send(b"%b %b %d\n" % (self._writer.encode(), segment.encode(), number))
        except BlockingIOError:
            pass  # The sweep asks again.
        except OSError:
            self.close()

    def _connect(self) -> None:
        # If nothing ships now, it is about to be started again.
        with suppress(OSError):
            self._connection = connect_to(self._folder)
            self._received = b""
            self._attached.add_reader(self._connection, self._receive)

    def _receive(self) -> None:
        assert self._connection is not None  # noqa: S101 - for the type checker
        try:
            received = self._connection.recv(_LONGEST_ANSWER)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self.close()
            return
        *lines, self._received = (self._received + received).split(b"\n")
        for line in lines:
            self._taken = max(self._taken, int(line))
        self._release()

    def _release(self) -> None:
        if self._failing and self._taken >= self._owed:
            self._failing = False
            logger.info(
                "the required destinations of the audit log have taken what they owed; calls are answered again"
            )
        while self._waiting and self._waiting[0][0] <= self._taken:
            self._waiting.popleft()[2](None)

    def _sweep_later(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            self._attached.call_later(_SWEEP, self._sweep)

    def _sweep(self) -> None:
        """Give up what has waited too long, and ask again: an answer is lost with its connection."""
        self._sweeping = False
        now = self._attached.time()
        while self._waiting and self._waiting[0][1] <= now:
            number, _, done = self._waiting.popleft()
            self._owed = max(self._owed, number)
            if not self._failing:
                self._failing = True
                logger.error(
                    "a required destination of the audit log has not taken a record for %.1f s, so calls are refused",
                    self._timeout,
                )
            done(KMSInternalException("The audit record of this request could not be shipped in time."))
        if self._waiting or self._failing:
            self._ask(self._waiting[-1][0] if self._waiting else self._owed)
            self._sweep_later()
