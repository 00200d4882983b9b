"""Load from wrk with prepared requests: its results, and what it cost the server's process tree."""

import json
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import NamedTuple

from measure import Load
from processes import tree_memory, tree_seconds
from servers import Server

PATIENCE = 15
# Seconds between two checks while wrk runs: rare enough not to disturb the load.
PAUSE = 0.1

# Requests are stored with their lengths, so that a body may hold any byte.
SCRIPT = """
local requests, file = {}, assert(io.open("%s", "rb"))
for size in file:lines() do table.insert(requests, file:read(tonumber(size))) end
local turn = 0
request = function()
    turn = turn %% #requests + 1
    return requests[turn]
end
done = function(summary, latency)
    local e = summary.errors
    io.write(string.format('{"requests":%%d,"microseconds":%%d,"refused":%%d,"socket":%%d,"p50":%%d,"p99":%%d,"p999":%%d}\\n',
        summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""


class Request(NamedTuple):
    """A request to send unchanged; Host and Content-Length are added where the headers lack them."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def raw(self, host: str) -> bytes:
        """Return the bytes on the wire."""
        given = {name.lower() for name in self.headers}
        added = {"Host": host, "Content-Length": str(len(self.body))}
        headers = {name: value for name, value in added.items() if name.lower() not in given} | self.headers
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{self.method} {self.path} HTTP/1.1\r\n{head}\r\n".encode() + self.body


class Reply(NamedTuple):
    """The answer to one request."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(server: Server, request: Request, certificate: Path | None = None) -> Reply:
    """Send one request, over TLS if there is a certificate to trust, and return the answer."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    if certificate is not None:
        connection = ssl.create_default_context(cafile=certificate).wrap_socket(connection, server_hostname="127.0.0.1")
    with connection:
        connection.sendall(request.raw(f"127.0.0.1:{server.port}"))
        with HTTPResponse(connection) as answer:
            answer.begin()
            return Reply(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())


def drive(
    server: Server,
    requests: list[Request],
    seconds: int,
    *,
    tls: bool = False,
    connections: int = 32,
    meanwhile: Callable[[], None] | None = None,
) -> Load:
    """Send prepared requests in turn for some seconds, from one thread of wrk; do something else meanwhile, repeatedly.

    Errors are broken connections, time-outs and statuses of 400 and above: wrk tells no more. ``ask`` tells the rest.
    """
    before = tree_seconds(server.pid)
    with _wrk(server, requests, seconds, tls=tls, connections=connections) as running:
        while meanwhile is not None and running.poll() is None:
            meanwhile()
            time.sleep(PAUSE)
        output, _ = running.communicate(timeout=seconds + PATIENCE)
    cpu = tree_seconds(server.pid) - before
    found = json.loads(next(line for line in output.splitlines() if line.startswith('{"requests"')))
    if found["refused"] or found["socket"]:
        print(f"{found['refused']} answers of 400 and above, {found['socket']} socket errors at port {server.port}")
    return Load(
        requests=found["requests"],
        seconds=found["microseconds"] / 1e6,
        errors=found["refused"] + found["socket"],
        p50=found["p50"],
        p99=found["p99"],
        p999=found["p999"],
        cpu=cpu,
        memory=tree_memory(server.pid),
    )


@contextmanager
def storm(server: Server, requests: list[Request], seconds: int, connections: int) -> Iterator[None]:
    """Send prepared requests for as long as the block lasts, at most for some seconds."""
    with _wrk(server, requests, seconds, connections=connections) as running:
        yield
        assert running.poll() is None, "the storm was over too soon"


@contextmanager
def _wrk(
    server: Server, requests: list[Request], seconds: int, *, tls: bool = False, connections: int
) -> Iterator[subprocess.Popen[str]]:
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is missing; run: apt-get install wrk")
    raw = [each.raw(f"127.0.0.1:{server.port}") for each in requests]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        prepared, script = Path(folder) / "requests", Path(folder) / "load.lua"
        prepared.write_bytes(b"".join(b"%d\n%s" % (len(each), each) for each in raw))
        script.write_text(SCRIPT % prepared)
        url = f"http{'s' * tls}://127.0.0.1:{server.port}/"
        command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            try:
                yield running
            finally:
                running.kill()
