"""Brings a database to the schema of this release, with Alembic, and grants the roles of servers what they need.

Both are done by the owner of the database, with a command: the role of a server may not change tables.
"""

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ProgrammingError

from strongroom.store.postgresql.schema import metadata
from strongroom.store.postgresql.schema_version import SCHEMA, WrongSchemaError

_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"
"""A migration that waits behind a long reader would keep all later readers waiting (postgresql.org, "ALTER TABLE")."""


def migrate(engine: Engine) -> None:
    """Create or upgrade the tables, all or none; ``engine`` connects as their owner.

    Raises WrongSchemaError for a database of a newer release, or with other tables than those of its schema.
    """
    config = Config()
    config.set_main_option("script_location", "strongroom.store.postgresql:migrations")
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        connection.exec_driver_sql(_LOCK_TIMEOUT)
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, SCHEMA)
        except CommandError as error:
            raise WrongSchemaError(
                f"the database was written by a newer release of Strongroom: this release knows schema {SCHEMA}"
            ) from error
        except ProgrammingError as error:
            raise WrongSchemaError(f"the tables cannot be made or changed: {error.orig}") from error


def grant_access(connection: Connection, *, serve: str, read: str | None = None) -> None:
    """Grant the role ``serve`` what a server needs, and the role ``read`` what verification and search need.

    ``connection`` is that of the owner of the tables. It takes from all other roles what PostgreSQL grants to every
    role of a database: temporary tables, and new objects in the schema.
    """
    quote = connection.dialect.identifier_preparer.quote
    database = quote(connection.exec_driver_sql("SELECT current_database()").scalar_one())
    schema = quote(connection.exec_driver_sql("SELECT current_schema()").scalar_one())
    tables = ", ".join(f"{schema}.{quote(name)}" for name in metadata.tables)
    statements = [
        f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC",
        f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {quote(serve)}",
    ]
    for role in filter(None, (serve, read)):
        statements += [
            f"GRANT USAGE ON SCHEMA {schema} TO {quote(role)}",
            f"GRANT SELECT ON {tables}, {schema}.alembic_version TO {quote(role)}",
        ]
    for statement in statements:
        connection.exec_driver_sql(statement)
