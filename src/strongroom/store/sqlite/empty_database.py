"""Makes a database with the tables of this release and nothing in them, by what its migrations add up to.

The migrations make the same, but take ten times as long. ``tools/empty-database`` writes the statements anew from them,
and a test compares.
"""

from pathlib import Path

from sqlalchemy import Engine

from strongroom.store.sqlite.engine import WRITE

STATEMENTS = Path(__file__).with_name("empty_database.sql")
"""The statements, with an empty line after each."""


def make_empty(engine: Engine) -> None:
    """Make the tables, all or none, in a database that has none."""
    statements = STATEMENTS.read_text(encoding="utf-8").split("\n\n")
    with engine.connect().execution_options(**WRITE) as connection, connection.begin():
        for statement in statements:
            connection.exec_driver_sql(statement)
