"""Brings a database to the schema of this release, with Alembic."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine

from strongroom.store.sqlite.engine import WRITE, open_sqlite


class UnknownSchemaError(Exception):
    """The database has the schema of another release; the message says whether of an older or a newer one."""


def migrate(engine: Engine, revision: str = "head") -> None:
    """Create or upgrade the tables, all or none; raises UnknownSchemaError for a database of a newer release.

    ``revision`` is the schema to stop at, for tests of later migrations.
    """
    config = _config()
    with engine.connect().execution_options(**WRITE) as connection, connection.begin():
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            head = ScriptDirectory.from_config(config).get_current_head()
            raise UnknownSchemaError(
                f"the database was written by a newer release of Strongroom (this one knows schema {head})"
            ) from error


def upgrade(path: Path) -> None:
    """Create the database file ``path``, or upgrade it; raises UnknownSchemaError."""
    with _engine(path) as engine:
        migrate(engine)


def has_this_schema(path: Path) -> bool:
    """Tell whether the database file ``path`` has the schema of this release."""
    with _engine(path) as engine, engine.connect() as connection:
        found, head = _schemas(connection)
        return found == head


def require_this_schema(connection: Connection) -> None:
    """Make sure that a database has the schema of this release; raises UnknownSchemaError."""
    found, head = _schemas(connection)
    if found != head:
        raise UnknownSchemaError(
            f"the database has schema {found}, and this release of Strongroom reads schema {head}; "
            "use the release that wrote it, or start a server of this one to upgrade it"
        )


def _schemas(connection: Connection) -> tuple[str | None, str | None]:
    """Return the schema of a database, and that of this release."""
    found = MigrationContext.configure(connection).get_current_revision()
    return found, ScriptDirectory.from_config(_config()).get_current_head()


@contextmanager
def _engine(path: Path) -> Iterator[Engine]:
    engine = open_sqlite(path)
    try:
        yield engine
    finally:
        engine.dispose()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "strongroom.store.sqlite:migrations")
    config.set_main_option("path_separator", "os")
    return config
