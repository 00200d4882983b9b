"""What SIGTERM and SIGINT do while a process that is to serve still starts: they end it at once."""

import os
import signal
import termios
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

from strongroom.supervisor.signals import STOP_SIGNALS


def exit_on_stop_signals(message: str) -> None:
    """Have the signals that stop a server print a message and exit at once, until other handlers are set."""
    on_stop_signal = partial(_exit_during_start, message, _terminal_state())
    for number in STOP_SIGNALS:
        signal.signal(number, on_stop_signal)


def _terminal_state() -> list[Any] | None:
    """Return how the terminal of standard input is set; None if there is none."""
    try:
        return termios.tcgetattr(0)
    except termios.error:
        return None


def _exit_during_start(message: str, terminal: list[Any] | None, _number: int, _frame: FrameType | None) -> None:
    """Exit at once: no call has been answered yet, and an interrupted start can be repeated.

    Raising an exception would be unreliable: Python drops exceptions of signal handlers that run during garbage
    collection. A passphrase may be asked for, so ``terminal`` is how the terminal shall be set again.
    """
    if terminal is not None:
        with suppress(termios.error):
            termios.tcsetattr(0, termios.TCSANOW, terminal)
    with suppress(OSError):
        os.write(1, f"{message}\n".encode())
    os._exit(0)
