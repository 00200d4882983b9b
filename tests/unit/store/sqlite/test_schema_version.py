"""The schema of a database, and what a process loads to find out."""

import subprocess
import sys
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from strongroom.store.sqlite.schema_version import SCHEMA, has_this_schema, upgrade

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


def test_only_a_database_that_has_to_be_changed_needs_alembic(tmp_path: Path) -> None:
    """It would take a fifth of the start of a process."""
    command = [sys.executable, "-c", LOADED, str(tmp_path / "strongroom.db")]
    loaded = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert loaded == ["True\n", "False\n"]
