"""The right to serve the XKS proxies of a data folder, and to write their audit chain: one process has it at a time."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.assembly.data_folder import DataFolder, DataFolderError, FolderInUseError
from strongroom.audit.writer_id import WriterId
from strongroom.node_id import NodeId

_RETRY = 0.05


def lock_xks_serving(folder: DataFolder, patience: float = 0.0) -> int:
    """Take the right; return the file descriptor of the lock, to be kept open.

    Tries for ``patience`` seconds: a server that starts has the right while it ends the chain of a proxy that was
    killed. Raises FolderInUseError if another process keeps it, DataFolderError if there is no such folder.
    """
    try:
        descriptor = os.open(folder.xks_serving, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        raise DataFolderError(f"`{folder.path}` is not a data folder; start a server once to make it") from None
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < end:
                time.sleep(_RETRY)
                continue
            os.close(descriptor)
            raise FolderInUseError(
                f"another process serves the XKS proxies of `{folder.path}`; stop it first"
            ) from None
        return descriptor


@contextmanager
def writers_at_work(folder: DataFolder, node: NodeId, workers: int) -> Iterator[set[str]]:
    """Give the names of the audit writers that have a process: the workers of a server, and the XKS proxy if it runs.

    If it does not, none can start for as long as the block lasts, so that its chain can be ended.
    """
    names = {WriterId(node, number).name for number in range(workers)}
    try:
        descriptor = lock_xks_serving(folder)
    except FolderInUseError:
        yield {*names, WriterId(node, 0, xks=True).name}
        return
    try:
        yield names
    finally:
        os.close(descriptor)
