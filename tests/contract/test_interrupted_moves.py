"""Moves between databases that end before all is done, as after a kill: the next attempt finishes them, or refuses."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from local_deployment import LocalDeployment, entropy
from move_scene import Scene
from postgresql import SERVER, Cluster
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.node import ensure_node_id
from strongroom.assembly.relocation.mark import MoveState, read_mark
from strongroom.assembly.relocation.to_postgresql import MoveToPostgresql
from strongroom.assembly.relocation.to_sqlite import MoveToSqlite
from strongroom.store.postgresql.leaving import Leaving


@pytest.fixture
def scene(tmp_path: Path, postgresql: Cluster) -> Iterator[Scene]:
    with postgresql.scratch() as name:
        yield Scene(tmp_path / "data", postgresql.address(name, SERVER))


def test_an_interrupted_move_is_finished_to_the_same_place_only(
    scene: Scene, postgresql: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the commit of the copy and the end."""
    with monkeypatch.context() as patched:
        patched.setattr(MoveToPostgresql, "_complete", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            scene.to_postgresql()
    mark = read_mark(DataFolder(scene.folder))
    assert mark is not None
    assert mark.state is MoveState.LEAVING
    with pytest.raises(DataFolderError, match="was interrupted; run the same"):
        LocalDeployment(scene.folder, scene.clock)
    with postgresql.scratch() as name, pytest.raises(DataFolderError, match="was interrupted; finish it first"):
        scene.to_postgresql(postgresql.address(name, SERVER))
    assert scene.to_postgresql() is None
    assert scene.tables(scene.there)["kms_key"]


def test_a_copy_of_an_interrupted_move_is_not_served_after_a_move_elsewhere(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill when the copy was complete, before the old database says so."""
    scene.to_postgresql()
    DataFolder(scene.folder).moved.unlink()
    (scene.folder / "strongroom.db").unlink()
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    shutil.copy(DataFolder(scene.folder).root_key, DataFolder(other).root_key)
    ensure_node_id(DataFolder(other), entropy)
    with monkeypatch.context() as patched:
        patched.setattr(Leaving, "mark", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            scene.to_sqlite()
    assert scene.to_sqlite(other) is not None
    with pytest.raises(DataFolderError, match=rf"has moved to SQLite, to `{other}`"):
        scene.to_sqlite()
    with pytest.raises(DataFolderError):
        LocalDeployment(scene.folder, scene.clock)


@pytest.mark.parametrize(
    "text",
    ["SQLite, to `{folder}` (history {history})", "SQLite, to `/renamed` (history {history})", "SQLite, to `{folder}`"],
)
def test_a_move_back_that_was_interrupted_at_its_end_is_finished(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """As after a kill between the commit that leaves the old database and the end; older releases named no history."""
    scene.to_postgresql()
    with monkeypatch.context() as patched:
        patched.setattr(MoveToSqlite, "_publish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            scene.to_sqlite()
    mark = read_mark(DataFolder(scene.folder))
    assert mark is not None
    with closing(psycopg.connect(scene.address, autocommit=True)) as connection:
        place = text.format(folder=scene.folder, history=mark.history_id)
        connection.execute("UPDATE schema_window SET moved_to = %s", (place,))
    assert scene.to_sqlite() is None
    assert scene.tables(scene.here)["kms_key"]
