"""The process of ``warm_commands``: reads from a line of JSON what to run, and answers with another.

It imports nothing of the tests, and nothing that starts a thread: it forks. Each fork runs one command and ends as a
process of its own does: with what was registered to run at its end, such as the measurement of coverage.
"""

import ctypes
import json
import os
import sys
from contextlib import suppress

from strongroom.cli.loading import without_garbage_collection

with without_garbage_collection():
    from strongroom.cli.main import main

_NAME = "python -m strongroom"


def _serve() -> list[str] | None:
    """Fork for each command that is read, until the input ends.

    Returns None in the end and, in a fork, the arguments of its command. One that is waited for is answered with its
    exit code, another one with its process id.
    """
    for line in sys.stdin:
        asked = json.loads(line)
        # Before the answer: who reads a pipe would find its end as long as nothing writes to it.
        streams = [
            os.open(os.devnull, os.O_RDWR),
            *(os.open(asked[name], os.O_WRONLY) for name in ("output", "errors")),
        ]
        child = os.fork()
        if child == 0:
            for descriptor, stream in enumerate(streams):
                os.dup2(stream, descriptor)
        for stream in streams:
            os.close(stream)
        if child == 0:
            os.environ.clear()
            os.environ.update(asked["environment"])
            os.chdir(asked["folder"])
            if "fault" in asked:
                # Only what ``faulty_commands`` has started: it has the library loaded.
                ctypes.CDLL(os.environ["LD_PRELOAD"]).fault_begin(
                    asked["fault"], ctypes.c_long(asked["at"]), asked["below"].encode(), asked["count"].encode()
                )
            arguments: list[str] = asked["arguments"]
            return arguments
        answer = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if asked["waits"] else child
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
        # Servers that have ended meanwhile.
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    return None


def _save_coverage() -> None:
    """Write what is measured so far, so that the forks write only what they measure themselves: half of their end."""
    if "coverage" in sys.modules:
        from coverage import Coverage  # noqa: PLC0415 - only where it measures

        measuring = Coverage.current()
        if measuring:
            measuring.save()


if __name__ == "__main__":
    _save_coverage()
    arguments = _serve()
    if arguments is not None:
        main(arguments, prog_name=_NAME)
