"""The schema of a database, and what a process loads to find out."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.migrate import migrate
from strongroom.store.sqlite.schema_version import SCHEMA, UnknownSchemaError, has_this_schema, upgrade

LOADED = """
import sys
from pathlib import Path
from strongroom.cli.main import main
from strongroom.store.sqlite.schema_version import upgrade
upgrade(Path(sys.argv[1]))
print("alembic" in sys.modules)
"""


def test_it_is_the_revision_of_the_last_migration() -> None:
    config = Config()
    config.set_main_option("script_location", "strongroom.store.sqlite:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA]


def test_a_new_file_has_none(tmp_path: Path) -> None:
    path = tmp_path / "strongroom.db"
    assert not has_this_schema(path)
    upgrade(path)
    assert has_this_schema(path)


def test_only_a_database_that_has_to_be_upgraded_needs_alembic(tmp_path: Path) -> None:
    """It would take a fifth of the start of a process."""
    older = open_sqlite(tmp_path / "older.db")
    migrate(older, "0014")
    older.dispose()
    for name, loaded in (("new.db", "False\n"), ("new.db", "False\n"), ("older.db", "True\n"), ("older.db", "False\n")):
        command = [sys.executable, "-c", LOADED, str(tmp_path / name)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == loaded


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DELETE FROM alembic_version", "`alembic_version` of the database strongroom.db has 0 rows instead of one"),
        ("INSERT INTO alembic_version VALUES ('0001')", "has 2 rows instead of one"),
        ("DROP TABLE alembic_version", "`alembic_version` of the database strongroom.db is missing"),
        (
            "UPDATE alembic_version SET version_num = '0001'",
            "the tables of the schema that its table `alembic_version`",
        ),
        (
            "UPDATE alembic_version SET version_num = '0005'",
            "the tables of the schema that its table `alembic_version`",
        ),
        ("UPDATE alembic_version SET version_num = '0011'", "`alembic_version` names (duplicate column name"),
        (
            "UPDATE alembic_version SET version_num = '9999'",
            "was written by a newer release of Strongroom, or its table",
        ),
        (
            "UPDATE alembic_version SET version_num = x'ff'",
            "was written by a newer release of Strongroom, or its table",
        ),
    ],
)
def test_a_schema_that_was_changed_by_hand_is_refused_and_left_as_it_is(tmp_path: Path, change: str, said: str) -> None:
    path = tmp_path / "strongroom.db"
    upgrade(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(change)
        before = list(database.iterdump())
    with pytest.raises(UnknownSchemaError, match=re.escape(said)):
        upgrade(path)
    with closing(sqlite3.connect(path)) as database:
        assert list(database.iterdump()) == before
