"""What the signals do that are neither a request to stop nor to read the settings anew: none ends a process silently.

By default, most signals end a process at once and without a word. A server is not to end because somebody tried
SIGUSR1, which other programs have a use for, or pressed Ctrl-backslash.
"""

import faulthandler
import logging
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
    left = _FAULTS | _TRAPS | _STOPPING | _HARMLESS | _CANNOT_BE_CAUGHT | _IGNORED_BY_PYTHON | STOP_SIGNALS
    noted: dict[int, float] = {}

    def note(number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - noted.get(number, -_QUIET) >= _QUIET:
            noted[number] = now
            logger.warning("%s does nothing: %s", _name_of(number), _MEANINGS.get(number, "SIGTERM stops the server"))

    for number in signal.valid_signals() - left:
        signal.signal(number, note)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
