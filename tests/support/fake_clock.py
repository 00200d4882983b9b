"""Runs servers under a wall clock that tests set, with libfaketime (github.com/wolfcw/libfaketime)."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_server import RunningServer, running_server

_APT = Path(__file__).parents[2] / "tools" / "apt"
_PATTERN = "*/faketime/libfaketimeMT.so.1"


def library() -> Path:
    """Return the library that is loaded into the server; installs its Debian package if it is missing."""
    found = next(Path("/usr/lib").glob(_PATTERN), None)
    if found is None:
        subprocess.run([_APT, "libfaketime"], check=True)
        found = next(Path("/usr/lib").glob(_PATTERN))
    return found


class FakeClock:
    """The wall clock of a server: ahead of that of the machine by some seconds, which a test sets while it runs."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, seconds: float) -> None:
        """Set the clock; with fewer seconds than none, it is behind."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{seconds:+.0f}\n")
        draft.replace(self._file)

    @contextmanager
    def server(self, data: Path, log: Path, *options: str, all_clocks: bool = False) -> Iterator[RunningServer]:
        """Run a server under this clock. With ``all_clocks``, the uptime moves with it, as after a suspension."""
        fake = {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "NO_FAKE_STAT": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "0" if all_clocks else "1",
        }
        os.environ.update(fake)
        try:
            running = running_server(data, log, *options)
            server = running.__enter__()
        finally:
            for name in fake:
                del os.environ[name]
        try:
            yield server
        finally:
            running.__exit__(None, None, None)
