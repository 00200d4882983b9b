"""Keeps key material inside the process: no core dumps, and no debugging by other processes."""

import ctypes
import os
import resource
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def harden_process() -> None:
    """Disable core dumps and debugging of this process; raises OSError if the kernel refuses.

    The size limit of core dumps, which children inherit, is 0. The process is marked as not dumpable (prctl(2)), which
    also keeps other processes of the same user from attaching to it. New files are readable by their owner only.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def end_with_parent(parent: int) -> None:
    """Make the kernel kill this process when its parent ends. If process ``parent`` has ended already, end now."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")
