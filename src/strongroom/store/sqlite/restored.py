"""Makes a new database from the tables of a backup, which may have the schema of an earlier release."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from strongroom.store.sql.sections import TableWriter
from strongroom.store.sqlite.engine import WRITE, open_sqlite


@contextmanager
def new_database(path: Path, schema: str) -> Iterator[TableWriter]:
    """Create the database file ``path`` with a schema; commit what the block inserts when it ends.

    Afterwards ``upgrade`` brings it to the schema of this release. Raises UnknownSchemaError for one that this release
    does not know.
    """
    from strongroom.store.sqlite.migrate import migrate  # noqa: PLC0415 - see schema_version

    engine = open_sqlite(path)
    try:
        migrate(engine, schema)
        with engine.connect().execution_options(**WRITE) as connection:
            # Rows of a key whose own row was lost are restored as they were: the check of all records finds them.
            connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
            with connection.begin():
                yield TableWriter(connection)
    finally:
        engine.dispose()
