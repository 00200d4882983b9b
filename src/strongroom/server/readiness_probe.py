"""Readiness checks off the event loop: the store may not answer, and the loop must not wait for it."""

import asyncio
import logging
import threading
from collections.abc import Callable

from strongroom.service.readiness import Condition

logger = logging.getLogger(__name__)

_TIMEOUT = 5.0
"""After so many seconds without an answer, a check has failed."""

Answer = Callable[[Condition], None]


class ReadinessProbe:
    """Has ``check`` called on a thread, by one thread at a time. Lives on the event loop.

    Requests that come while a check runs share its outcome.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, check: Callable[[], Condition], timeout: float = _TIMEOUT
    ) -> None:
        self._loop = loop
        self._check = check
        self._timeout = timeout
        self._running = False
        self._waiting: list[Answer] = []
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, answer: Answer) -> None:
        """Have ``answer`` called on the loop with the condition of the node: after the check, or after the timeout."""
        self._waiting.append(answer)
        if self._timer is None:
            self._timer = self._loop.call_later(
                self._timeout, self._answer, Condition(["the key store does not answer"])
            )
        if not self._running:
            self._start()

    def _start(self) -> None:
        self._running = True
        try:
            # A daemon, because a check that hangs must not keep the process from ending.
            threading.Thread(target=self._run, name="readiness", daemon=True).start()
        except RuntimeError:
            logger.exception("no thread could be started for a readiness check")
            self._loop.call_soon(self._finished, Condition(["no thread can be started"]))

    def close(self) -> None:
        """Answer no more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _run(self) -> None:
        try:
            condition = self._check()
        except Exception:
            logger.exception("a readiness check failed")
            condition = Condition(["the readiness check failed"])
        try:
            self._loop.call_soon_threadsafe(self._finished, condition)
        except RuntimeError:
            logger.debug("the server stopped during a readiness check")

    def _finished(self, condition: Condition) -> None:
        self._running = False
        self._answer(condition)

    def _answer(self, condition: Condition) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer(condition)
