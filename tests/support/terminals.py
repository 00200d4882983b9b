"""Servers that are started in a terminal, where they ask a person for what they need."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from local_server import RunningServer
from server_processes import children_of
from strongroom.http.listeners import claim_port

_STOPPING = 120.0


def shown_by(terminal: int) -> bytes:
    """Return what a terminal shows once it asks for something."""
    shown = b""
    while not shown.endswith(b": "):
        shown += os.read(terminal, 1000)
    return shown


@contextmanager
def server_in_terminal(data: Path, asks: bytes, typed: str, *options: str) -> Iterator[RunningServer]:
    """Run a server that ``asks`` for something when it starts, and is answered with what is ``typed``."""
    with closing(claim_port("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    terminal, inside = pty.openpty()
    command = [sys.executable, "-m", "strongroom", "serve", "--listen", f"127.0.0.1:{port}", "--data", str(data)]
    with (
        subprocess.Popen(
            [*command, *options], stdin=inside, stdout=subprocess.PIPE, stderr=inside, start_new_session=True
        ) as process,
        closing(os.fdopen(terminal, "rb", buffering=0)),
    ):
        os.close(inside)
        try:
            assert asks in shown_by(terminal)
            os.write(terminal, f"{typed}\n".encode())
            assert process.stdout is not None
            assert b"serves account" in process.stdout.readline()
            yield RunningServer(process, {**os.environ, **clients_environment(data, port)})
        finally:
            process.terminate()
            process.wait(_STOPPING)


def clients_environment(data: Path, port: int) -> dict[str, str]:
    """Return what AWS clients need to reach a server at a port."""
    return {
        "AWS_ENDPOINT_URL_KMS": f"http://127.0.0.1:{port}",
        "AWS_SHARED_CREDENTIALS_FILE": str(data / "credentials"),
        "AWS_REGION": "us-east-1",
    }


def shown_to_others(pid: int) -> str:
    """Return what other users of the machine can see of a process and its children: arguments, and environments."""
    return "".join(
        Path(f"/proc/{each}/{name}").read_text(errors="replace")
        for each in (pid, *children_of(pid))
        for name in ("cmdline", "environ")
    )
