"""Runs servers and commands under a wall clock that tests set, with libfaketime (github.com/wolfcw/libfaketime)."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_server import RunningServer, running_server

_APT = Path(__file__).parents[2] / "tools" / "apt"
_PATTERN = "*/faketime/libfaketimeMT.so.1"


def library() -> Path:
    """Return the library that is loaded into a process; installs its Debian package if it is missing."""
    found = next(Path("/usr/lib").glob(_PATTERN), None)
    if found is None:
        subprocess.run([_APT, "libfaketime"], check=True)
        found = next(Path("/usr/lib").glob(_PATTERN))
    return found


class FakeClock:
    """A wall clock that is ahead of that of the machine by some seconds, which a test sets while servers run."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, seconds: float) -> None:
        """Set the clock; with fewer seconds than none, it is behind."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{seconds:+.0f}\n")
        draft.replace(self._file)

    def environment(self) -> dict[str, str]:
        """Return what loads the library. The other clocks stay those of the machine: threads wait by them."""
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "NO_FAKE_STAT": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    @contextmanager
    def server(self, data: Path, log: Path, *options: str) -> Iterator[RunningServer]:
        """Run a server under this clock."""
        fake = self.environment()
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

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the product under this clock."""
        command = [sys.executable, "-m", "strongroom", *arguments]
        environment = {**os.environ, **self.environment()}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
