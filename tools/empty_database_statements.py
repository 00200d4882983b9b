"""The statements that make what the migrations of SQLite make."""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.migrate import migrate
from strongroom.store.sqlite.schema_version import SCHEMA

_ROWS = (
    # Migration 0011 begins the history of a database.
    f"INSERT INTO alembic_version VALUES ('{SCHEMA}')",  # noqa: S608 - a constant
    "INSERT INTO database_history VALUES (1, lower(hex(randomblob(8))), 0)",
)


def migrated_statements() -> str:
    """Return the statements, with an empty line between them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "strongroom.db"
        engine = open_sqlite(path)
        migrate(engine)
        engine.dispose()
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute(
                # A table must be there before its indexes; SQLite makes what has no statement by itself.
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' "
                "ORDER BY type DESC, name"
            )
            made = [_without_empty_lines(statement) for (statement,) in found]
    return "\n\n".join((*made, *_ROWS)) + "\n"


def _without_empty_lines(statement: str) -> str:
    return "\n".join(line.rstrip() for line in statement.splitlines() if line.strip())
