"""Holds back Ctrl-C while something is done that must not end in the middle, although the process goes on.

A kill leaves what the next process knows to take over. KeyboardInterrupt does not end the process at once: it unwinds
it, and what is written on the way must rest on a state that is whole.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from typing_extensions import override


class HeldInterrupts:
    """What SIGINT does while a ``held`` block runs."""

    def __init__(self) -> None:
        self._came = False

    @contextmanager
    def released(self) -> Iterator[None]:
        """Let SIGINT end this part of the block; raises KeyboardInterrupt, also for one that has come before."""
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.raise_held()
            yield
        finally:
            signal.signal(signal.SIGINT, self.hold)

    def hold(self, _number: int, _frame: FrameType | None) -> None:
        """Note that SIGINT has come: the handler of the signal."""
        self._came = True

    def raise_held(self) -> None:
        """Raise KeyboardInterrupt if SIGINT has come."""
        if self._came:
            self._came = False
            raise KeyboardInterrupt


class _NothingHeld(HeldInterrupts):
    """Where SIGINT does not raise KeyboardInterrupt in this thread."""

    @contextmanager
    @override
    def released(self) -> Iterator[None]:
        yield


@contextmanager
def held_interrupts() -> Iterator[HeldInterrupts]:
    """Hold SIGINT back while the block runs; raises KeyboardInterrupt at its end if it has come.

    It does nothing in other threads than the main one, which get no KeyboardInterrupt, and in a process that handles
    SIGINT itself, as servers do.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield _NothingHeld()
        return
    held = HeldInterrupts()
    signal.signal(signal.SIGINT, held.hold)
    try:
        yield held
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    held.raise_held()
