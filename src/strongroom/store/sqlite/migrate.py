"""Brings a database to the schema of this release, with Alembic."""

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine

from strongroom.store.sqlite.engine import WRITE
from strongroom.store.sqlite.schema_version import SCHEMA, UnknownSchemaError


def migrate(engine: Engine, revision: str = SCHEMA) -> None:
    """Create or upgrade the tables, all or none; raises UnknownSchemaError for a database of a newer release.

    ``revision`` is the schema to stop at, for tests of later migrations.
    """
    config = Config()
    config.set_main_option("script_location", "strongroom.store.sqlite:migrations")
    config.set_main_option("path_separator", "os")
    with engine.connect().execution_options(**WRITE) as connection, connection.begin():
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise UnknownSchemaError(
                "the database strongroom.db was written by a newer release of Strongroom, or its table alembic_version "
                f"is damaged: this release knows schema {SCHEMA}"
            ) from error
