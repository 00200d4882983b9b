"""What ``strongroom doctor`` says of seals that do not open."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from local_deployment import LocalDeployment, entropy
from strongroom.assembly.data_folder import DataFolder
from strongroom.assembly.doctor.database import check_root_key
from strongroom.assembly.doctor.examination import Check, examine
from strongroom.assembly.doctor.results import Result, Status
from strongroom.assembly.doctor.scene import Options, Scene
from strongroom.assembly.doctor.service import check_problems
from strongroom.assembly.open_folder import open_existing
from strongroom.clock import ManualClock
from strongroom.problems import Problem, Subject
from strongroom.settings import Settings

CLOCK = ManualClock(time.time())  # noqa: TID251 - files have the real time
PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of a folder that has two seals: ``file``, and ``safe`` with a passphrase in a file."""
    local = LocalDeployment(tmp_path / "data", CLOCK)
    local.deployment.close()
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    found = replace(local.settings, seal_passphrase_file=str(tmp_path / "passphrase"))
    with closing(open_existing(found, CLOCK, entropy)) as folder:
        folder.seals.add("safe", "passphrase", {}, PASSPHRASE)
    return found


def examined(settings: Settings, check: Check = Check("root-key", check_root_key)) -> Result:  # noqa: B008 - frozen
    @contextmanager
    def no_progress(_label: str, _length: int) -> Iterator[Callable[[int], object]]:
        yield lambda _done: None

    with closing(Scene(settings, settings.folder, Options(), CLOCK, entropy, no_progress)) as scene:
        (found,) = examine(scene, [check]).checks
    return found


def test_the_failure_of_one_seal_is_not_the_remedy_for_another(settings: Settings, tmp_path: Path) -> None:
    key_file = DataFolder(settings.folder).root_key
    key_file.chmod(0o644)
    (tmp_path / "passphrase").write_text("a typing error")
    found = examined(settings)
    assert found.status is Status.CRITICAL
    assert f"seal 'file': `{key_file}` can be read by others" in found.text
    assert "seal 'safe': the passphrase is wrong" in found.text
    command, other = found.remedies
    assert command == f"run: chmod 600 {key_file}"
    assert other.startswith("have one of the seals open: ")


def test_a_key_file_that_does_not_open_is_told_of_although_another_seal_opens(settings: Settings) -> None:
    folder = DataFolder(settings.folder)
    assert examined(settings).status is Status.OK
    kept = folder.root_key.read_bytes()
    folder.root_key.unlink()
    found = examined(settings)
    assert found.status is Status.WARNING
    assert "seal 'file' does not open" in found.text
    assert found.remedies == [
        "put its key file in the data folder, or have a new one made: strongroom seal rotate",
    ]
    with closing(open_existing(settings, CLOCK, entropy)) as opened:
        opened.seals.rotate()
    assert examined(settings).status is Status.OK
    # A copy from before the rotation.
    folder.key_file("root-2.key").write_bytes(kept)
    assert "seal 'file' does not open" in examined(settings).text


def test_a_problem_without_a_remedy_does_not_advise_a_restore(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Problem(Subject.AUDIT_SHIPPING, "the audit log is not shipped to folder:/x: it is full")
    monkeypatch.setattr("strongroom.assembly.doctor.service.problems_in", lambda _path: [problem])
    monkeypatch.setattr(DataFolder, "is_locked", lambda _folder: True)
    found = examined(settings, Check("problems", check_problems))
    assert found.remedies == ["look for its cause in the log of the server"]
