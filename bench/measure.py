"""What every benchmark here needs: CPU time of a process tree, and load from wrk with prepared requests."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")

LUA = """
local requests = {}
for line in io.lines("%s") do table.insert(requests, line) end
local function unescape(text) return (text:gsub("\\\\n", "\\n"):gsub("\\\\r", "\\r")) end
for index = 1, #requests do requests[index] = unescape(requests[index]) end
local next_request = 0
request = function()
    next_request = next_request %% #requests + 1
    return requests[next_request]
end
done = function(summary, latency)
    io.write(string.format('{"requests":%%d,"microseconds":%%d,"errors":%%d,"p50":%%d,"p99":%%d,"p999":%%d}\\n',
        summary.requests, summary.duration,
        summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
            + summary.errors.timeout,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""


class Load(NamedTuple):
    """What one run gave. Latencies in microseconds."""

    requests: int
    seconds: float
    errors: int
    p50: float
    p99: float
    p999: float
    cpu: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_each(self) -> float:
        """CPU microseconds of the server's process tree for one request."""
        return self.cpu * 1e6 / self.requests


def post(host: str, headers: dict[str, str], body: str) -> str:
    """Return a whole HTTP request; bodies are ASCII and hold no line breaks."""
    lines = [f"{name}: {value}" for name, value in {"Host": host, **headers, "Content-Length": str(len(body))}.items()]
    return "POST / HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n" + body


def load(url: str, requests: list[str], pid: int, folder: Path, seconds: int = 5, connections: int = 32) -> Load:
    """Send prepared requests in turn for some seconds; tell what came of it and what it cost process ``pid``."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is missing; run: apt-get install wrk")
    prepared, script = folder / "requests.txt", folder / "load.lua"
    prepared.write_text("\n".join(each.replace("\r", "\\r").replace("\n", "\\n") for each in requests))
    script.write_text(LUA % prepared)
    before = cpu_seconds(pid)
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    cpu = cpu_seconds(pid) - before
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"requests"')))
    return Load(
        found["requests"], found["microseconds"] / 1e6, found["errors"], found["p50"], found["p99"], found["p999"], cpu
    )


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process and its descendants, living and reaped."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    total = sum(int(ticks) for ticks in fields[11:15]) / TICKS
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return total + sum(cpu_seconds(int(child)) for child in children)


def machine() -> str:
    """Describe this machine: cores, CPU, kernel, interpreter."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    cpu = model.group(1) if model else platform.machine()
    interpreter = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores, {cpu}, Linux {platform.release().split('-')[0]}, {interpreter}"


def interpreter() -> str:
    return sys.executable
