"""Runs ``strongroom`` commands in forks of a process that has loaded the command line already.

Loading it takes most of the time of a short command, and campaigns run thousands. ``python warm_commands.py`` is that
process: it reads the arguments of a command from a line of JSON, and writes its exit code and output as another.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

_ENDING = 10


def strongroom(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``strongroom`` with a data folder; as ``accounts.strongroom``, in less time."""
    return command(*arguments, "--data", str(data))


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``strongroom`` with some arguments."""
    warm = _warm()
    assert warm.stdin is not None
    assert warm.stdout is not None
    warm.stdin.write(json.dumps(arguments) + "\n")
    warm.stdin.flush()
    code, output, errors = json.loads(warm.stdout.readline())
    return subprocess.CompletedProcess(arguments, code, output, errors)


@cache
def _warm() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(_ENDING)


def _serve() -> None:
    """Run the commands that are read, one after the other, until the input ends."""
    from strongroom.cli import main  # noqa: PLC0415 - in this process only

    for line in sys.stdin:
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            child = os.fork()
            if child == 0:
                os.dup2(output.fileno(), 1)
                os.dup2(errors.fileno(), 2)
                _run(main, json.loads(line))
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            told = [_content(file.fileno()) for file in (output, errors)]
        sys.stdout.write(json.dumps([code, *told]) + "\n")
        sys.stdout.flush()


def _run(main: object, arguments: list[str]) -> None:
    """Run one command in this process, and end it."""
    assert callable(main)
    code = 1
    try:
        main(arguments)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - it ends as a command would
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _content(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read().decode(errors="replace")


if __name__ == "__main__":
    _serve()
