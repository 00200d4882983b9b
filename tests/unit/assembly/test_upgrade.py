"""A database of an earlier release: which process upgrades it, and when none may."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from local_deployment import entropy
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.deployment import Deployment, take_folder
from strongroom.assembly.open_folder import open_existing
from strongroom.clock import ManualClock
from strongroom.settings import Settings
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.migrate import migrate
from strongroom.store.sqlite.schema_version import UnknownSchemaError, has_this_schema


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=str(tmp_path / "data"))


@pytest.fixture
def folder(settings: Settings) -> DataFolder:
    """Return a data folder with the database of an earlier release."""
    folder = DataFolder(settings.folder)
    os.close(folder.lock())
    engine = open_sqlite(folder.database)
    migrate(engine, "0004")
    engine.dispose()
    return folder


@pytest.fixture
def served(folder: DataFolder) -> Iterator[DataFolder]:
    """Return the folder while a server has it."""
    lock = folder.lock()
    yield folder
    os.close(lock)


def schema(folder: DataFolder) -> str:
    with closing(sqlite3.connect(folder.database)) as connection:
        (found,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(found)


def test_a_command_upgrades_what_no_server_has(settings: Settings, clock: ManualClock, folder: DataFolder) -> None:
    open_existing(settings, clock, entropy).close()
    assert has_this_schema(folder.database)
    os.close(folder.lock())


def test_a_command_leaves_what_a_server_has_as_it_is(
    settings: Settings, clock: ManualClock, served: DataFolder
) -> None:
    with pytest.raises(DataFolderError, match=r"a server of another release is using .* stop it first"):
        open_existing(settings, clock, entropy)
    assert schema(served) == "0004"


@pytest.mark.parametrize(
    "command", [("audit", "verify"), ("audit", "public-key"), ("account", "create", "111122223333")]
)
def test_each_command_does(command: tuple[str, ...], served: DataFolder) -> None:
    line = [sys.executable, "-m", "strongroom", *command, "--data", str(served.path)]
    result = subprocess.run(line, capture_output=True, text=True, check=False)
    # Of a verification, 1 would say that something was found.
    assert result.returncode == (2 if command == ("audit", "verify") else 1)
    assert result.stderr.startswith("Error: a server of another release is using")
    assert schema(served) == "0004"


def test_a_command_beside_a_server_of_its_own_release(settings: Settings, clock: ManualClock) -> None:
    with Deployment(settings, clock, entropy), closing(open_existing(settings, clock, entropy)) as opened:
        assert opened.accounts() == [settings.account]


def test_a_start_upgrades(settings: Settings, clock: ManualClock, folder: DataFolder) -> None:
    os.close(take_folder(settings, clock, entropy))
    assert has_this_schema(folder.database)


def test_a_database_from_the_future(settings: Settings, clock: ManualClock, folder: DataFolder) -> None:
    with closing(sqlite3.connect(folder.database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(UnknownSchemaError, match="newer release"):
        open_existing(settings, clock, entropy)
    os.close(folder.lock())
