"""Keeps key material inside the process: no core dumps, no debugging by other processes, no swapping."""

import ctypes
import os
import resource
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_CAP_IPC_LOCK = 14


def harden_process() -> None:
    """Disable core dumps and debugging of this process; raises OSError if the kernel refuses.

    The size limit of core dumps, which children inherit, is 0. The process is marked as not dumpable (prctl(2)), which
    also keeps other processes of the same user from attaching to it. New files are readable by their owner only.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def lock_memory() -> str | None:
    """Keep all memory of this process out of swap space, now and later; return why not if that is not allowed.

    Pages are locked as they are first used (mlockall(2), MCL_ONFAULT), so reserved memory costs nothing. With a limit,
    it is not even tried: from the limit on, every allocation would fail.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard == resource.RLIM_INFINITY != soft:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
    elif soft != resource.RLIM_INFINITY and not _may_lock_all():
        return f"the limit is {soft // 1024} KiB"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        return os.strerror(ctypes.get_errno())
    return None


def has_swap_space() -> bool:
    """Tell whether this machine can write memory to swap space (proc(5), ``swaps``: a head, and a line for each)."""
    try:
        return len(Path("/proc/swaps").read_text(encoding="ascii").splitlines()) > 1
    except OSError:
        return True


def _may_lock_all() -> bool:
    """Tell whether this process has the capability to lock more memory than its limit (CAP_IPC_LOCK)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_IPC_LOCK & 1)
    return False


def end_with_parent(parent: int) -> None:
    """Make the kernel kill this process when its parent ends. If process ``parent`` has ended already, end now."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")
