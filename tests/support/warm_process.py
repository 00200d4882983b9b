"""The process of ``warm_commands``: reads from a line of JSON what to run, and answers with another.

It imports nothing of the tests, and nothing that starts a thread: it forks.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from strongroom.cli import main


def _serve() -> None:
    """Run the commands that are read, one after the other, until the input ends.

    A command with a file for its output is not waited for; the answer has its process id.
    """
    for line in sys.stdin:
        arguments, output, log, environment = json.loads(line)
        run = partial(_run, main, arguments, environment)
        if output:
            answer: list[object] = [_fork(run, output, log)]
        else:
            with tempfile.NamedTemporaryFile() as told, tempfile.NamedTemporaryFile() as errors:
                child = _fork(run, told.name, errors.name)
                code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                answer = [code, *(Path(file.name).read_text(errors="replace") for file in (told, errors))]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
        # Servers that have ended meanwhile.
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _fork(run: Callable[[], None], output: str, errors: str) -> int:
    """Run a command in another process; return its id."""
    files = [os.open(path, os.O_WRONLY) for path in (output, errors)]
    child = os.fork()
    if child == 0:
        for descriptor, file in enumerate([os.open(os.devnull, os.O_RDONLY), *files]):
            os.dup2(file, descriptor)
            os.close(file)
        run()
    for file in files:
        os.close(file)
    return child


def _run(main: Callable[[list[str]], object], arguments: list[str], environment: dict[str, str]) -> None:
    """Run one command in this process, and end it. ``environment`` is added to that of this process."""
    code = 1
    os.environ.update(environment)
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


if __name__ == "__main__":
    _serve()
