"""Keeps key material out of files the operating system might write: no core dumps, no tracing by other processes."""

import ctypes
import os
import resource

_PR_SET_DUMPABLE = 4


def harden_process() -> None:
    """Make this process and its children leave no memory behind; raises OSError if the kernel refuses.

    Core dumps are limited to nothing and the process is marked as not dumpable (prctl(2)), which also keeps other
    processes of the same user from attaching to it. New files are readable by their owner only.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE)")
