"""How fast OpenSSL alone signs on these cores."""

import os
import re
import subprocess
from typing import NamedTuple

SECONDS = 2
SIGNS = re.compile(r"^rsa +2048 bits +\S+ +\S+ +(?P<rate>[0-9.]+)", re.MULTILINE)


class Speed(NamedTuple):
    """RSA-2048 signatures: CPU microseconds for one, and how many all cores make per second if they do nothing else."""

    cpu_each: float
    per_second: float


def rsa_2048() -> Speed:
    """Ask ``openssl speed``, which counts CPU time: once on one core for the cost, once on all for the rate."""
    return Speed(1e6 / _signs(), _signs("-elapsed", "-multi", str(os.cpu_count())))


def _signs(*options: str) -> float:
    command = ["openssl", "speed", *options, "-seconds", str(SECONDS), "rsa2048"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = SIGNS.search(done.stdout)
    assert found is not None, done.stdout
    return float(found["rate"])
