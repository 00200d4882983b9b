"""A damaged database is refused at the start; a large one is checked while it is served."""

import time
from pathlib import Path

import pytest

from faulty_stores import change, pages_of, zero_page
from local_deployment import LocalDeployment
from strongroom.assembly import database_check
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.database_check import check_database, require_whole_database
from strongroom.clock import ManualClock


@pytest.fixture
def damaged(tmp_path: Path, clock: ManualClock) -> DataFolder:
    """Return a data folder whose database lacks a table."""
    LocalDeployment(tmp_path / "data", clock).deployment.close()
    folder = DataFolder(tmp_path / "data")
    change(folder.database, "DROP TABLE custom_key_store")
    return folder


def test_a_folder_without_a_database_is_left_as_it_is(tmp_path: Path) -> None:
    require_whole_database(DataFolder(tmp_path), serve_damaged=False)
    assert [*tmp_path.iterdir()] == []


def test_a_damaged_database_is_refused_unless_it_is_to_be_served(
    damaged: DataFolder, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DataFolderError, match=r"is damaged \(no such table: custom_key_store\); restore a backup, or"):
        LocalDeployment(damaged.path, clock)
    local = LocalDeployment(damaged.path, clock, serve_damaged=True)
    local.call("CreateKey")
    problem = problem_of(local)
    assert problem.startswith("`strongroom.db` is damaged (no such table: custom_key_store); restore a backup")
    local.deployment.close()
    assert "and is served because of `serve-damaged`" in caplog.text


def test_the_pages_of_a_large_database_are_checked_while_it_is_served(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_check, "AT_ONCE", 1000)
    folder = DataFolder(tmp_path / "data")
    LocalDeployment(folder.path, clock).deployment.close()
    zero_page(folder.database, pages_of(folder.database, "custom_key_store")[0])
    local = LocalDeployment(folder.path, clock)
    problem = problem_of(local)
    assert problem.startswith("`strongroom.db` is damaged")
    local.deployment.close()


def test_the_tables_of_a_large_database_are_checked_at_once(
    damaged: DataFolder, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_check, "AT_ONCE", 1000)
    with pytest.raises(DataFolderError, match="no such table: custom_key_store"):
        LocalDeployment(damaged.path, clock)


def problem_of(local: LocalDeployment) -> str:
    """Wait for the problem that the check in the background finds."""
    end = time.monotonic() + 120
    while not (problems := local.deployment.service.readiness.check().problems):
        assert time.monotonic() < end
        time.sleep(0.02)
    (problem,) = problems
    return problem


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "strongroom.db").mkdir()
    with pytest.raises(DataFolderError, match=r"strongroom.db` or a file beside it cannot be opened .SQLITE_CANTOPEN"):
        check_database(DataFolder(tmp_path))
