"""External programs that tests run: finds them, installs what is missing, and keeps them out of the coverage."""

import functools
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

APT = Path(__file__).parents[2] / "tools" / "apt"
"""Installs Debian packages."""
COVERAGE = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
"""The variables that make every Python process measure its coverage."""


def installed(pattern: str, package: str) -> Path:
    """Return the first file that an absolute pattern matches; installs its Debian package if there is none.

    It is for libraries, which have no program on the PATH, and for programs that another of their name may hide.
    """
    found = sorted(Path("/").glob(pattern.removeprefix("/")))
    if not found:
        subprocess.run([APT, package], check=True)
        found = sorted(Path("/").glob(pattern.removeprefix("/")))
    assert found, f"{pattern} is missing after installing {package}"
    return found[0]


@functools.cache
def program(name: str, package: str) -> str:
    """Return the path of a program; installs its Debian package if the program is missing."""
    found = shutil.which(name)
    if found is None:
        subprocess.run([APT, package], check=True)
        found = shutil.which(name)
    assert found is not None, f"{name} is missing after installing {package}"
    return found


def unmeasured(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what makes every Python process measure its coverage.

    Programs that are not ours execute no line of ours, and measured, the AWS CLI takes half as long again.
    """
    return {name: value for name, value in environment.items() if name not in COVERAGE}


def put_unmeasured(outside: Path, folder: Path) -> None:
    """Write a command into a folder that runs an outside program unmeasured, for scripts that run it by its name."""
    command = folder / outside.name
    command.write_text(f'#!/bin/sh\nunset {" ".join(COVERAGE)}\nexec {shlex.quote(str(outside))} "$@"\n')
    command.chmod(0o755)
