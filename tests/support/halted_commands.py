"""Commands in processes of their own that stop themselves at a step, so that tests can act just then."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from child_processes import killed
from server_processes import is_stopped

STEPS_END_WITHIN = 180.0
"""Seconds. It only bounds a hang."""

_HALT_AT = """
import os, re, runpy, signal, sys
event, path = sys.argv.pop(1), re.compile(sys.argv.pop(1))
awaited = True

def halt(name, values):
    global awaited
    if awaited and name == event and path.search(os.fsdecode(values[0])):
        awaited = False
        os.kill(os.getpid(), signal.SIGSTOP)

sys.addaudithook(halt)
runpy.run_module("strongroom", run_name="__main__", alter_sys=True)
"""
"""Python reports an event before it does the step, with the arguments of the function: see PEP 578."""


def started(*arguments: object) -> subprocess.Popen[str]:
    """Start a command."""
    return _run("-m", "strongroom", *arguments)


class Halted:
    """A command that is halted; once it went on and ended, what it said on its standard error and its exit code."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.pid = process.pid
        self.errors = ""
        self.code = 0


@contextmanager
def stopped_at(event: str, path: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start a command that stops right before an event (https://docs.python.org/3/library/audit_events.html).

    ``path`` is a regular expression for the first value of that event. SIGCONT lets the command go on. It is killed at
    the end of the block, if it still runs.
    """
    with _run("-c", _HALT_AT, event, path, *arguments) as process, killed(process):
        deadline = time.monotonic() + STEPS_END_WITHIN
        while not is_stopped(process.pid):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, f"{event} of {path} did not come"
            time.sleep(0.01)
        yield process


@contextmanager
def halted(event: str, path: str, *arguments: object) -> Iterator[Halted]:
    """Start a command that stops right before an event, as ``stopped_at`` does; it goes on when the block ends."""
    with stopped_at(event, path, *arguments) as process:
        command = Halted(process)
        yield command
        process.send_signal(signal.SIGCONT)
        _, command.errors = process.communicate(timeout=STEPS_END_WITHIN)
        command.code = process.returncode


def _run(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
