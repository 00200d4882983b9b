"""Runs the command line: ``python -m strongroom``, and the command ``strongroom``."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType

_STANDARD_ERROR = 2


def main() -> None:
    """Run the command line. Its modules are many: with too little memory they cannot even be loaded."""
    _open_standard_streams()
    if sys.argv[1:2] == ["serve"]:
        _hold_signals()
    try:
        run = _loaded()
    except (MemoryError, OSError, SystemError, ImportError) as error:
        if isinstance(error, ModuleNotFoundError):
            raise
        sys.exit(
            f"Error: strongroom cannot be loaded, for want of memory (ulimit -v) or open files (ulimit -n): {error}"
        )
    except KeyboardInterrupt:
        # As click says it once they are loaded.
        sys.exit("\nAborted!")
    run()


def _loaded() -> Callable[[], None]:
    """Load the modules of the command line, and return what runs it."""
    # Imported here, as all of the command line, to report that it cannot be loaded.
    from strongroom.cli.loading import without_garbage_collection  # noqa: PLC0415 - as above

    with without_garbage_collection():
        if sys.argv[1:2] == ["dev"]:
            # Without the modules of the other commands: it is to serve within a second.
            from strongroom.cli.dev import dev  # noqa: PLC0415 - as above

            return partial(dev, sys.argv[2:], prog_name="strongroom dev")
        from strongroom.cli.main import main as run  # noqa: PLC0415 - as above

        return run


def _open_standard_streams() -> None:
    """Open the standard streams that were closed for this process on the null device.

    Otherwise the next files that are opened, such as the audit log, get their file descriptors, and what is meant for
    standard output or standard error is written into them.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - it takes no names
    os.close(descriptor)
    # Python has none of its own for a stream that was closed.
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - it is used until the process ends
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - it is used until the process ends
    if sys.stderr is None:
        sys.stderr = open(_STANDARD_ERROR, "w", closefd=False)  # noqa: SIM115 - it is used until the process ends


def _hold_signals() -> None:
    """Have signals do what they do to a server that starts, also while the modules are loaded, which may take a second.

    By default SIGHUP and some others would end it, and an early reload must not.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    for number in (signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _stop(_number: int, _frame: FrameType | None) -> None:
    with suppress(OSError):
        os.write(1, b"Strongroom has stopped.\n")
    os._exit(0)


if __name__ == "__main__":
    main()
