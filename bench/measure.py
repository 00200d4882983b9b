"""What one benchmark run gave, and the machine it ran on."""

import os
import platform
import re
from pathlib import Path
from typing import NamedTuple


class Load(NamedTuple):
    """What one run gave. Latencies in microseconds; ``cpu`` (seconds) and ``memory`` (bytes) of the server's tree."""

    requests: int
    seconds: float
    errors: int
    p50: float
    p99: float
    p999: float
    cpu: float
    memory: int

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_each(self) -> float:
        """CPU microseconds of the server's process tree for one request."""
        return self.cpu * 1e6 / self.requests


def machine() -> str:
    """Describe this machine: cores, CPU, kernel, interpreter."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    cpu = model.group(1) if model else platform.machine()
    interpreter = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores, {cpu}, Linux {platform.release().split('-')[0]}, {interpreter}"
