"""Which schema a database has, and how it gets this release's.

Alembic is imported only where a database has to be changed. It would take a fifth of the start of every process, and
nearly all of them find a database that is up to date.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect

from strongroom.store.sqlite.engine import open_sqlite

SCHEMA = "0011"
"""The schema of this release: the revision of its last migration."""


class UnknownSchemaError(Exception):
    """The database has the schema of another release; the message says whether of an older or a newer one."""


def upgrade(path: Path) -> None:
    """Create the database file ``path``, or upgrade it; raises UnknownSchemaError for one of a newer release."""
    with _engine(path) as engine:
        if not _has_this_schema(engine):
            from strongroom.store.sqlite.migrate import migrate  # noqa: PLC0415 - see the top of this module

            migrate(engine)


def has_this_schema(path: Path) -> bool:
    """Tell whether the database file ``path`` has the schema of this release."""
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
    """Return the schema of a database, which Alembic keeps in a table of one row; None if it has no tables."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return found


@contextmanager
def _engine(path: Path) -> Iterator[Engine]:
    engine = open_sqlite(path)
    try:
        yield engine
    finally:
        engine.dispose()
