"""Brings a database to the schema of this release, with Alembic."""

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine

from strongroom.store.sqlite import WRITE


class UnknownSchemaError(Exception):
    """The database was written by a newer release."""


def migrate(engine: Engine, revision: str = "head") -> None:
    """Create or upgrade the tables, all or nothing; raises UnknownSchemaError for a database from the future.

    ``revision`` is the schema to stop at, for tests of what comes after it.
    """
    config = Config()
    config.set_main_option("script_location", "strongroom.store:migrations")
    config.set_main_option("path_separator", "os")
    with engine.connect().execution_options(**WRITE) as connection, connection.begin():
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            head = ScriptDirectory.from_config(config).get_current_head()
            raise UnknownSchemaError(
                f"the database was written by a newer release of Strongroom (this one knows schema {head})"
            ) from error
