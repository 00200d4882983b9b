"""Ansible, with modules of its collection ``amazon.aws``. Each playbook in ``ansible`` checks what it has done."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from installed_packages import installed_packages, run_pip
from local_server import RunningServer
from programs import unmeasured

SOURCES = Path(__file__).parent / "ansible"
COLLECTION = "ansible_collections/amazon/aws/"


@pytest.fixture(scope="module")
def installed(pytestconfig: pytest.Config) -> Path:
    return installed_packages(pytestconfig, SOURCES, _add_collection)


def _add_collection(folder: Path) -> None:
    """Add the collection to what is installed.

    The collection is on PyPI only as a part of ``ansible``, which has a hundred others and 420 MB. So that is fetched
    and not installed, and the one collection is taken out of it.
    """
    run_pip("download", "--require-hashes", "-r", str(SOURCES / "collection.txt"), "--no-deps", "-d", str(folder))
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
