"""Restores into PostgreSQL that are killed near their end: the same command finishes them, or begins anew."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from backup_scene import back_up, decryption, encryption, restore
from local_deployment import LocalDeployment, entropy
from postgresql import EMPTYING, SERVER, Cluster
from strongroom.assembly.backups.restored_folder import RestoredFolder
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.databases.postgresql import PostgresqlDatabase
from strongroom.assembly.open_folder import open_existing
from strongroom.clock import ManualClock
from strongroom.settings import Settings

NOW = 1_790_000_000.0


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_after(act: Callable[..., Any]) -> Callable[..., None]:
    def run(*arguments: object, **named: object) -> None:
        act(*arguments, **named)
        die()

    return run


def before_the_commit() -> None:
    RestoredFolder.note_filled = dying_after(RestoredFolder.note_filled)  # type: ignore[method-assign]


def after_the_commit() -> None:
    RestoredFolder.publish = die  # type: ignore[method-assign]


def after_a_file_has_its_place() -> None:
    """Of several, where the files of the folder are moved one by one."""
    Path.rename = dying_after(Path.rename)  # type: ignore[assignment]


def after_the_folder_is_gone() -> None:
    Path.rmdir = dying_after(Path.rmdir)  # type: ignore[method-assign]


def after_the_note_is_gone() -> None:
    really_unlink = Path.unlink

    def unlink(self: Path, *, missing_ok: bool = False) -> None:
        really_unlink(self, missing_ok=missing_ok)
        if self.name.endswith(".filled") and not self.exists():
            die()

    def publish(self: RestoredFolder, *, with_database: bool = True) -> None:
        Path.unlink = unlink  # type: ignore[assignment, method-assign]
        really_publish(self, with_database=with_database)

    really_publish = RestoredFolder.publish
    RestoredFolder.publish = publish  # type: ignore[method-assign]


class Scene:
    """A backup of a deployment, and a PostgreSQL database to restore it into."""

    def __init__(self, path: Path, cluster: Cluster, name: str) -> None:
        self.clock = ManualClock(NOW)
        self.deployment = LocalDeployment(path / "data", self.clock)
        self.deployment.call("CreateKey", Description="first")
        self.made = back_up(self.deployment, path / "backup")
        self.new = path / "new"
        self.settings: Settings = replace(
            self.deployment.settings, store=cluster.address(name, SERVER), data=str(self.new)
        )
        self._cluster, self._name = cluster, name

    def restore(self, **options: Any) -> None:
        database = PostgresqlDatabase(self.settings, self.clock, entropy)
        restored = restore(self.deployment, self.made, self.new, database=database, **options)
        assert (restored.content.damaged_count, list(restored.accounts)) == (0, ["000000000000"])

    def killed(self, moment: Callable[[], None], **options: Any) -> None:
        def run() -> None:
            moment()
            self.restore(**options)

        process = get_context("fork").Process(target=run)
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL

    def empty(self) -> None:
        """Make the database one that nothing was restored into."""
        self._cluster.run(*EMPTYING, database=self._name)

    def is_empty(self) -> bool:
        """Whether nothing was restored into the database."""
        with closing(psycopg.connect(self._cluster.address(self._name))) as connection:
            return connection.execute("SELECT FROM account").fetchone() is None

    def keys(self) -> int:
        with closing(open_existing(self.settings, self.clock, entropy)) as opened, opened.store.read() as reader:
            assert list(reader.findings(lambda *_: True)) == []
            return sum(reader.keys_by_region().values())


@pytest.fixture
def scene(tmp_path: Path, postgresql: Cluster) -> Iterator[Scene]:
    with postgresql.scratch() as name:
        made = Scene(tmp_path, postgresql, name)
        with closing(made.deployment.deployment):
            yield made


@pytest.mark.parametrize(("is_inside", "is_then_inside"), [*product([False, True], repeat=2)])
@pytest.mark.parametrize("moment", [before_the_commit, after_the_commit, after_a_file_has_its_place])
def test_a_restore_that_is_killed_is_finished_by_the_next(
    scene: Scene, moment: Callable[[], None], monkeypatch: pytest.MonkeyPatch, *, is_inside: bool, is_then_inside: bool
) -> None:
    """Its hidden folder is beside the data folder, or inside it if that is the current one."""
    scene.new.mkdir()
    monkeypatch.chdir(scene.new if is_inside else "/")
    scene.killed(moment)
    # The root key and the audit chain of what is in the database are there only.
    monkeypatch.chdir(scene.new if is_then_inside else "/")
    if moment is after_a_file_has_its_place and not is_inside:
        with pytest.raises(DataFolderError, match=r"/new` is not empty"):
            scene.restore()
    else:
        scene.restore()
    assert scene.keys() == 1
    assert {each.name for each in scene.new.iterdir()} >= {"root.key", "audit", "node-id"}
    assert [each.name for each in scene.new.iterdir() if each.name.startswith(".")] == []
    if is_then_inside:
        assert Path.cwd().samefile(scene.new)


def test_a_restore_that_is_killed_twice_is_finished_from_anywhere(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.new.mkdir()
    monkeypatch.chdir("/")
    scene.killed(after_the_commit)
    # The current folder is not replaced: files are moved there, one by one.
    monkeypatch.chdir(scene.new)
    scene.killed(after_a_file_has_its_place)
    monkeypatch.chdir("/")
    scene.restore()
    assert scene.keys() == 1
    assert {each.name for each in scene.new.iterdir()} >= {"root.key", "audit", "node-id"}
    assert [each.name for each in scene.new.iterdir() if each.name.startswith(".")] == []


@pytest.mark.parametrize("moment", [after_the_folder_is_gone, after_the_note_is_gone])
def test_a_restore_that_is_killed_at_its_very_end_is_complete(
    scene: Scene, moment: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.new.mkdir()
    monkeypatch.chdir(scene.new)
    scene.killed(moment)
    assert scene.keys() == 1
    with pytest.raises(DataFolderError, match=r"/new` is not empty"):
        scene.restore()
    assert [each.name for each in scene.new.iterdir() if each.name.endswith(".filled")] == []
    assert scene.keys() == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("root_key", False),
        ("audit", [Path("data/audit")]),
        ("bring_back", ["0" * 36]),
        ("any_origin", True),
        ("damaged_keys", True),
    ],
)
def test_a_restore_is_finished_with_the_options_that_it_was_begun_with(
    scene: Scene, option: str, value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was decided with others would be taken for what these ask for."""
    scene.made = back_up(scene.deployment, tmp_path / "sealed", encryption(), with_domain_keys=True)
    options: dict[str, Any] = {"decryption": decryption()}
    monkeypatch.chdir(tmp_path)
    scene.killed(after_the_commit, **options)
    with pytest.raises(DataFolderError, match=r"with other options, .* run that command again"):
        scene.restore(**options, **{option: value})
    scene.restore(**options)
    assert scene.keys() == 1


def test_another_backup_does_not_take_the_place_of_one_that_was_almost_restored(scene: Scene, tmp_path: Path) -> None:
    scene.killed(after_the_commit)
    first = scene.made
    scene.made = back_up(scene.deployment, tmp_path / "other")
    with pytest.raises(DataFolderError, match=r"run that command again, or remove `.*/\.new\.restoring\.filled`"):
        scene.restore()
    scene.made = first
    scene.restore()
    assert scene.keys() == 1


def test_a_database_that_was_made_anew_is_filled_anew(scene: Scene) -> None:
    scene.killed(after_the_commit)
    scene.empty()
    scene.restore()
    assert scene.keys() == 1


def test_what_was_moved_of_another_state_is_refused_before_the_database_is_filled(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.new.mkdir()
    monkeypatch.chdir(scene.new)
    scene.killed(after_a_file_has_its_place)
    scene.empty()
    for _ in range(2):
        with pytest.raises(DataFolderError, match=r"/new` is not empty"):
            scene.restore()
        assert scene.is_empty()
    shutil.rmtree(scene.new / "audit")
    scene.restore()
    assert scene.keys() == 1
