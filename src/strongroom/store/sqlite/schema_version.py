"""Which schema a database has, and how it gets this release's.

Alembic is imported only where a database has to be upgraded. It would take a fifth of the start of every process, and
nearly all of them find a database that is up to date, or none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect

from strongroom.store.sqlite.empty_database import make_empty
from strongroom.store.sqlite.engine import open_sqlite

SCHEMA = "0015"
"""The schema of this release: the revision of its last migration."""


class UnknownSchemaError(Exception):
    """The database has the schema of another release, or it is not known which; the message says what is wrong."""


def upgrade(path: Path) -> None:
    """Create the database file ``path``, or upgrade it; raises UnknownSchemaError if that is not possible."""
    with _engine(path) as engine:
        with engine.connect() as connection:
            found = _schema(connection)
        if found is None:
            make_empty(engine)
        elif found != SCHEMA:
            from strongroom.store.sqlite.migrate import migrate  # noqa: PLC0415 - see the top of this module

            migrate(engine)


def has_this_schema(path: Path) -> bool:
    """Tell whether the database file ``path`` has the schema of this release; raises UnknownSchemaError."""
    with _engine(path) as engine:
        return _has_this_schema(engine)


def require_this_schema(connection: Connection) -> None:
    """Make sure that a database has the schema of this release; raises UnknownSchemaError."""
    found = _schema(connection)
    if found != SCHEMA:
        raise UnknownSchemaError(
            f"the database has schema {found}, and this release of Strongroom reads schema {SCHEMA}; "
            "use the release that wrote it, or start a server of this one to upgrade it"
        )


def _has_this_schema(engine: Engine) -> bool:
    with engine.connect() as connection:
        return _schema(connection) == SCHEMA


def _schema(connection: Connection) -> str | None:
    """Return the schema of a database, which Alembic keeps in a table of one row; None if it has no tables.

    Raises UnknownSchemaError if that table is missing or has another number of rows.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise _not_known("is missing")
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    if len(found) != 1:
        raise _not_known(f"has {len(found)} rows instead of one")
    return str(found[0])


def _not_known(state: str) -> UnknownSchemaError:
    return UnknownSchemaError(
        f"the table `alembic_version` of the database strongroom.db {state}, so it is not known which schema the "
        "database has; put back the file as it was before, or restore a backup"
    )


@contextmanager
def _engine(path: Path) -> Iterator[Engine]:
    engine = open_sqlite(path)
    try:
        yield engine
    finally:
        engine.dispose()
