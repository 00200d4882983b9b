"""The locks of a server: which process serves a data folder, and whether workers of an ended one still use it.

The data folder itself is locked as long as any process of a server has it open, workers included. The file ``serving``
is locked by the process that was started to serve, and by no worker. So a folder that is locked while ``serving`` is
not has orphans: workers whose supervisor was killed. The kernel kills them too, but they take a moment to end. A start
waits for that; but it does not wait for a server that lives.
"""

import fcntl
import logging
import os
import time

from strongroom.assembly.data_folder import DataFolder, DataFolderError, FolderInUseError

logger = logging.getLogger(__name__)

_PATIENCE = 20.0
_RETRY = 0.05


class ServingLock:
    """The right to serve a data folder, until it is closed or the process ends."""

    def __init__(self, folder: DataFolder, patience: float = _PATIENCE) -> None:
        """Take the right; wait for at most ``patience`` seconds for orphans of an earlier server to end.

        Makes the folder if needed. Raises FolderInUseError at once if another server lives, DataFolderError if the
        orphans do not end, and for what ``DataFolder.lock`` refuses.
        """
        self.waited = False
        """Whether orphans had to be waited for. Their sockets may close a moment later."""
        folder.make()
        self._own = _lock_file(folder)
        try:
            self.folder = self._lock_when_free(folder, patience)
            """The file descriptor of the folder's lock, which workers inherit."""
        except BaseException:
            os.close(self._own)
            raise
        self._open = True

    def close(self) -> None:
        """Release the folder. Workers that have inherited its lock go on holding it."""
        if self._open:
            self._open = False
            os.close(self.folder)
            os.close(self._own)

    def _lock_when_free(self, folder: DataFolder, patience: float) -> int:
        end = time.monotonic() + patience
        while True:
            try:
                return folder.lock()
            except FolderInUseError:
                if time.monotonic() >= end:
                    raise DataFolderError(
                        f"processes of an earlier server still use `{folder.path}` after {patience:g} s, although its "
                        "first process has ended; end them, then start again"
                    ) from None
            if not self.waited:
                self.waited = True
                logger.warning("waiting for processes of an earlier server, which was killed, to end")
            time.sleep(_RETRY)


def _lock_file(folder: DataFolder) -> int:
    descriptor = os.open(folder.serving, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise folder.in_use() from None
        raise
    return descriptor
