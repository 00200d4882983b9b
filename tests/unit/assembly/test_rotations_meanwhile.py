"""Commands that open the seals while another one rotates the root key: what they have read is of two moments then."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from backup_scene import encryption
from local_deployment import LocalDeployment, entropy
from strongroom.assembly import unsealing as unsealing_module
from strongroom.assembly.backups.maker import BackupMaker
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.doctor.database import check_root_key
from strongroom.assembly.doctor.examination import Check, examine
from strongroom.assembly.doctor.results import Status
from strongroom.assembly.doctor.scene import Options, Scene
from strongroom.assembly.open_folder import OpenFolder, open_existing
from strongroom.assembly.unsealing import document_of
from strongroom.clock import ManualClock
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.seals.document import SealDocument
from strongroom.settings import Settings

CLOCK = ManualClock(time.time())  # noqa: TID251 - files have the real time


def make_backup(folder: OpenFolder, *, with_domain_keys: bool = False) -> None:
    maker = BackupMaker(folder, CLOCK, entropy)
    maker.make(folder.folder.path.parent, encryption(), lambda *_: None, with_domain_keys=with_domain_keys)


def examine_root_key(folder: OpenFolder) -> None:
    @contextmanager
    def no_progress(_label: str, _length: int) -> Iterator[Callable[[int], object]]:
        yield lambda _done: None

    settings = Settings(data=str(folder.folder.path))
    with closing(Scene(settings, folder.folder.path, Options(), CLOCK, entropy, no_progress)) as scene:
        (found,) = examine(scene, [Check("root-key", check_root_key)]).checks
    assert found.status is Status.OK, found.text


def remove_only_seal(folder: OpenFolder) -> None:
    with pytest.raises(DataFolderError, match="'file' is the only seal"):
        folder.seals.remove("file")


COMMANDS: dict[str, Callable[[OpenFolder], object]] = {
    "backup": make_backup,
    "backup --with-domain-keys": lambda folder: make_backup(folder, with_domain_keys=True),
    "doctor": examine_root_key,
    "seal remove": remove_only_seal,
    "seal status": lambda folder: folder.seals.status(),
    "seal test": lambda folder: folder.seals.test(None),
    "serve with `fips`": lambda folder: folder.seals.require_approved(),
}


@pytest.fixture
def local(tmp_path: Path) -> LocalDeployment:
    """Return a deployment that is not served, whose root key was rotated before, so that it has a seal document."""
    made = LocalDeployment(tmp_path / "data", CLOCK)
    made.deployment.close()
    rotate(made.settings)
    return made


def rotate(settings: Settings) -> None:
    with closing(open_existing(settings, CLOCK, entropy)) as folder:
        folder.seals.rotate()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_reads_again_what_a_rotation_has_replaced_meanwhile(
    command: str, local: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would say that the seal document of the old root key must be restored, which would lock all out."""
    rotations = 0

    def late_document_of(folder: DataFolder, generation: int | None) -> SealDocument | None:
        nonlocal rotations
        if rotations < 2:
            rotations += 1
            monkeypatch.setattr(unsealing_module, "document_of", document_of)
            rotate(local.settings)
            monkeypatch.setattr(unsealing_module, "document_of", late_document_of)
        return document_of(folder, generation)

    with closing(open_existing(local.settings, CLOCK, entropy)) as folder:
        monkeypatch.setattr(unsealing_module, "document_of", late_document_of)
        folder.unsealing.document_of = late_document_of
        COMMANDS[command](folder)
    assert rotations == 2


def test_a_document_that_was_replaced_without_a_rotation_is_refused(local: LocalDeployment) -> None:
    with closing(open_existing(local.settings, CLOCK, entropy)) as folder:
        before = folder.folder.seal.read_bytes()
        folder.seals.rotate()
        folder.folder.seal.write_bytes(before)
        with pytest.raises(UnsealError, match=r"is of generation 2, .* sealed by generation 3"):
            folder.seals.status()
