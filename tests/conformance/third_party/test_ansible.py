"""Ansible, with modules of its collection ``amazon.aws``. Each playbook in ``ansible`` checks what it has done."""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from local_server import RunningServer
from programs import unmeasured

SOURCES = Path(__file__).parent / "ansible"
COLLECTION = "ansible_collections/amazon/aws/"


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, env=unmeasured(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(pytestconfig: pytest.Config) -> Path:
    """Return a folder with what the lock files name, in pytest's cache until they change (``pytest --cache-clear``)."""
    assert pytestconfig.cache is not None
    locks = [sys.version.encode(), *(path.read_bytes() for path in sorted(SOURCES.glob("*.txt")))]
    folder = pytestconfig.cache.mkdir("ansible") / hashlib.sha256(b"".join(locks)).hexdigest()
    if not folder.exists():
        # It gets its name when it is complete.
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            _install(Path(scratch) / "made")
            (Path(scratch) / "made").rename(folder)
    return folder


def _install(folder: Path) -> None:
    """Install what the lock files name, checked by hash, into a new folder.

    The collection is on PyPI only as a part of ``ansible``, which has a hundred others and 420 MB. So that is fetched
    and not installed, and the one collection is taken out of it.
    """
    _pip("install", "--require-hashes", "-r", str(SOURCES / "requirements.txt"), "--target", str(folder))
    _pip("download", "--require-hashes", "-r", str(SOURCES / "collection.txt"), "--no-deps", "-d", str(folder))
    (wheel,) = folder.glob("ansible-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(COLLECTION)])
    wheel.unlink()


@pytest.mark.parametrize("playbook", ["users", "roles", "keys", "instance_profiles"])
def test_a_playbook(server: RunningServer, installed: Path, tmp_path: Path, playbook: str) -> None:
    environment = unmeasured(server.environment) | {
        "PYTHONPATH": str(installed),
        "HOME": str(tmp_path),
        "ANSIBLE_HOME": str(tmp_path),
        "ANSIBLE_COLLECTIONS_PATH": str(installed),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "LC_ALL": "C.UTF-8",
    }
    command = [sys.executable, str(installed / "bin" / "ansible-playbook"), str(SOURCES / f"{playbook}.yml")]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_files_name_no_index() -> None:
    for name in ("requirements.txt", "collection.txt"):
        lock = (SOURCES / name).read_text()
        assert "--hash=sha256:" in lock
        assert "://" not in lock
