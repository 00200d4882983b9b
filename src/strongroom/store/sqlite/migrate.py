"""Brings a database to the schema of this release, with Alembic."""

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from strongroom.store.sqlite.engine import WRITE
from strongroom.store.sqlite.faults import is_wrong_schema
from strongroom.store.sqlite.schema_version import SCHEMA, UnknownSchemaError


def migrate(engine: Engine, revision: str = SCHEMA) -> None:
    """Create or upgrade the tables, all or none.

    Raises UnknownSchemaError for a database of a newer release, or with other tables than those of its schema.

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
        except OperationalError as error:
            if not is_wrong_schema(error):
                raise
            raise UnknownSchemaError(
                "the database strongroom.db does not have the tables of the schema that its table `alembic_version` "
                f"names ({error.orig}); put back the file as it was before, or restore a backup"
            ) from error
