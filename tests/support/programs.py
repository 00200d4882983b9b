"""Finds, and installs if missing, the external programs that tests run."""

import functools
import shutil
import subprocess
from pathlib import Path

_APT = Path(__file__).parents[2] / "tools" / "apt"


@functools.cache
def program(name: str, package: str) -> str:
    """Return the path of a program; installs its Debian package if the program is missing."""
    found = shutil.which(name)
    if found is None:
        subprocess.run([_APT, package], check=True)
        found = shutil.which(name)
    assert found is not None, f"{name} is missing after installing {package}"
    return found
