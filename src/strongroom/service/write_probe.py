"""Tries at an interval whether the store can be written, for readiness checks."""

import logging
from collections.abc import Callable
from threading import Lock, Thread

from strongroom.errors import KmsError
from strongroom.store.protocol import Store

logger = logging.getLogger(__name__)

_INTERVAL = 5.0
"""The time from one try to the next, seconds. Checks in between share its outcome."""
_INTERVAL_OF_FAILURE = 1.0
"""The same after a try that failed, so that the end of a fault is noticed soon."""
_PATIENCE = 2.0
"""How long a check waits for a try that is not over, seconds. Writers may wait longer than that for each other."""


class WriteProbe:
    """Commits something small in the store, on a thread of its own, one at a time. ``timer`` counts seconds."""

    def __init__(self, store: Store, timer: Callable[[], float]) -> None:
        self._store = store
        self._timer = timer
        self._lock = Lock()
        self._thread: Thread | None = None
        self._next = float("-inf")
        self._failure: str | None = None

    def failure(self) -> str | None:
        """Return why the store cannot be written, or None if the last try has succeeded.

        It waits two seconds at most.
        """
        with self._lock:
            if self._thread is None and self._timer() >= self._next:
                # A daemon, because a try that hangs must not keep the process from ending.
                thread = Thread(target=self._try, name="write-probe", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return "no thread can be started"
                self._thread = thread
            if self._thread is None:
                return self._failure
            self._thread.join(_PATIENCE)
            if self._thread.is_alive():
                return "a write to the key store takes longer than two seconds"
            self._thread = None
            self._next = self._timer() + (_INTERVAL if self._failure is None else _INTERVAL_OF_FAILURE)
            return self._failure

    def _try(self) -> None:
        try:
            self._store.try_write()
        except KmsError as error:
            self._failure = f"writes fail: {error.message}"
        except Exception:
            logger.exception("a write was tried, and failed")
            self._failure = "writes fail: the log says why"
        else:
            self._failure = None
