"""Runs ``strongroom`` commands that are killed, interrupted or without space at a chosen one of their writes.

A small library in C that is preloaded counts what a command changes below a folder, and lets it fail
(``fault_steps.c``). The commands run in forks of a process that has loaded them (``warm_process``).
"""

import json
import os
import subprocess
import sys
import tempfile
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from programs import program

_SOURCE = Path(__file__).with_name("fault_steps.c")
_WARM = Path(__file__).with_name("warm_process.py")


class Fault(IntEnum):
    """What happens at a change; ``enum`` in ``fault_steps.c``."""

    NOTHING = 0
    COUNTED = 1
    KILLED = 2
    INTERRUPTED = 3
    FULL = 4


class Ended(NamedTuple):
    """How a command has ended, and what it has said."""

    code: int
    output: str
    errors: str

    @property
    def last_line(self) -> str:
        """The last line of standard error."""
        return (self.errors.splitlines() or [""])[-1]


class FaultyCommands:
    """The process that runs commands, one after the other, in a folder that it is given."""

    def __init__(self, scratch: Path) -> None:
        """Compile the library; a C compiler is installed if there is none."""
        library = scratch / "fault_steps.so"
        subprocess.run([program("cc", "gcc"), "-O2", "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"], check=True)
        self._count = scratch / "count"
        self._warm = subprocess.Popen(
            [sys.executable, str(_WARM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "LD_PRELOAD": str(library)},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._warm.communicate()

    def run(self, folder: Path, *arguments: str, fault: Fault = Fault.NOTHING, at: int = 0) -> Ended:
        """Run a command in a folder, with a fault at the change of that number below the folder."""
        with tempfile.NamedTemporaryFile() as output, tempfile.NamedTemporaryFile() as errors:
            asked = {
                "arguments": arguments,
                "output": output.name,
                "errors": errors.name,
                # The library as well: the process that is forked tells its child what it has in its own environment.
                "environment": {**os.environ, "LD_PRELOAD": str(self._count.with_name("fault_steps.so"))},
                "folder": str(folder),
                "waits": True,
                "fault": fault,
                "at": at,
                "below": str(folder.resolve()),
                "count": str(self._count),
            }
            assert self._warm.stdin is not None
            assert self._warm.stdout is not None
            self._warm.stdin.write(json.dumps(asked) + "\n")
            self._warm.stdin.flush()
            code = int(self._warm.stdout.readline())
            return Ended(code, *(Path(file.name).read_text(errors="replace") for file in (output, errors)))

    def changes_of(self, folder: Path, *arguments: str) -> tuple[Ended, int]:
        """Run a command without a fault; return how it ended, and the number of its changes."""
        self._count.unlink(missing_ok=True)
        ended = self.run(folder, *arguments, fault=Fault.COUNTED)
        return ended, self._count.stat().st_size
