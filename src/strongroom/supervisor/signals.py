"""What the signals do that are neither a request to stop nor to read the settings anew: none ends a process silently.

By default, most signals end a process at once and without a word. A server is not to end because somebody tried
SIGUSR1, which other programs have a use for, or pressed Ctrl-backslash.
"""

import ctypes
import faulthandler
import logging
import mmap
import signal
import time
from types import FrameType

logger = logging.getLogger(__name__)

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
RELOAD_SIGNAL = signal.SIGHUP

_FAULTS = {signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL}
_TRAPS = {signal.SIGTRAP, signal.SIGSYS}
_STOPPING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
_HARMLESS = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
_CANNOT_BE_CAUGHT = {signal.SIGKILL, signal.SIGSTOP}
_IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
_QUIET = 60.0
_STACK_SIZE = 1 << 20
_stack = mmap.mmap(-1, _STACK_SIZE)
"""Where handlers run. Only pages that are touched take memory."""
_MEANINGS: dict[int, str] = {
    RELOAD_SIGNAL: "the server is starting, or this is one of its workers; send it to the first process of the server",
    signal.SIGXCPU: "the limit of CPU time (ulimit -St) is reached, and at the hard one the kernel ends this process",
}


def survive_signals() -> None:
    """Have each signal that would end this process silently leave a line in the log instead, at most one a minute.

    A fault of the process, such as SIGSEGV, still ends it, after its threads' functions are written to standard error.
    SIGTERM, SIGINT and those that only stop a process are left as they are.
    """
    faulthandler.enable()
    for number in _TRAPS:
        faulthandler.register(number, chain=True)
    _use_large_stack()
    left = _FAULTS | _TRAPS | _STOPPING | _HARMLESS | _CANNOT_BE_CAUGHT | _IGNORED_BY_PYTHON | STOP_SIGNALS
    noted: dict[int, float] = {}

    def note(number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - noted.get(number, -_QUIET) >= _QUIET:
            noted[number] = now
            logger.warning("%s does nothing: %s", _name_of(number), _MEANINGS.get(number, "SIGTERM stops the server"))

    for number in signal.valid_signals() - left:
        signal.signal(number, note)


class _SignalStack(ctypes.Structure):
    """``stack_t`` of sigaltstack(2)."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def _use_large_stack() -> None:
    """Give the handlers of this thread room for every signal at once; raises OSError if the kernel refuses.

    The stack that ``faulthandler`` makes overflows when ten or so arrive together, and that is SIGSEGV.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    start = ctypes.addressof(ctypes.c_char.from_buffer(_stack))
    if libc.sigaltstack(ctypes.byref(_SignalStack(start, 0, _STACK_SIZE)), None) != 0:
        raise OSError(ctypes.get_errno(), "sigaltstack")


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
