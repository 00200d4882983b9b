"""The AWS SDK for JavaScript, version 3, on Node.js: ``javascript/round_trip.mjs``."""

import shutil
import subprocess
from pathlib import Path

import pytest

from local_server import RunningServer
from programs import program

SOURCES = Path(__file__).parent / "javascript"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install what the lock file names, checked by hash, into a folder that is thrown away."""
    folder = tmp_path_factory.mktemp("javascript")
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    npm = [program("npm", "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(npm, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("what", ["symmetric", "signatures", "publicKeyEncryption", "macsAndSharedSecrets"])
def test_round_trips(server: RunningServer, installed: Path, what: str) -> None:
    command = [program("node", "nodejs"), "round_trip.mjs", what]
    done = subprocess.run(
        command, cwd=installed, env=server.environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
