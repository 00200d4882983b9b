"""Brings a database to the schema of this release, with Alembic, and grants the roles of servers what they need.

Both are done by the owner of the database, with a command: the role of a server may not change tables.
"""

import logging
import time
from collections.abc import Callable, Sequence

import msgspec
import psycopg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from strongroom.store.postgresql.schema import metadata
from strongroom.store.postgresql.schema_version import SCHEMA, WrongSchemaError

logger = logging.getLogger(__name__)

_PAUSE = 0.5
_GRANTED = text(
    "SELECT grantee, privilege_type FROM information_schema.table_privileges WHERE table_schema = current_schema() "
    "AND table_name = 'generation' AND privilege_type IN ('SELECT', 'INSERT') AND grantee <> 'PUBLIC' "
    "AND grantee <> current_user"
)
_HAS_ROLE = text("SELECT count(*) > 0 FROM pg_roles WHERE rolname = :role")
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


class Granted(msgspec.Struct, frozen=True):
    """Roles with rights on the tables: those of servers, and those that only read. The owner is not among them."""

    serve: Sequence[str]
    read: Sequence[str]


def migrate_patiently(
    engine: Engine, serve: Sequence[str], read: Sequence[str], timer: Callable[[], float], patience: float
) -> tuple[str | None, str, Granted]:
    """Create or upgrade the tables, and grant rights on all of them to roles, also to those that have some already.

    If a table is locked, or another process does the same, this is tried again for ``patience`` seconds. Returns the
    schema before, None if there were no tables, the one now, and the roles. Raises WrongSchemaError.
    """
    deadline = timer() + patience
    before = _schema_of(engine)
    while True:
        try:
            found = _schema_of(engine)
            if found != SCHEMA:
                before = found
                migrate(engine)
            with engine.begin() as connection:
                return before, SCHEMA, _grant_all(connection, serve, read)
        except WrongSchemaError:
            if _schema_of(engine) != SCHEMA:
                raise
            # Another process has made the tables in the meantime.
        except DBAPIError as error:
            if not _may_end(error) or timer() >= deadline:
                raise
            logger.warning("the tables are in use, trying again: %s", str(error.orig).strip())
        time.sleep(_PAUSE)


def _schema_of(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().first()


def _may_end(error: DBAPIError) -> bool:
    """Tell whether an error is that of another process which uses the tables, or makes them now."""
    return isinstance(error.orig, psycopg.errors.LockNotAvailable | psycopg.errors.UniqueViolation)


def _grant_all(connection: Connection, serve: Sequence[str], read: Sequence[str]) -> Granted:
    known = connection.execute(_GRANTED).all()
    writers = {str(role) for role, privilege in known if privilege == "INSERT"} | {*serve}
    readers = ({str(role) for role, _ in known} | {*read}) - writers
    for role in sorted(writers | readers):
        if not connection.execute(_HAS_ROLE, {"role": role}).scalar_one():
            raise WrongSchemaError(f"there is no role `{role}`; make it first: CREATE ROLE … LOGIN")
    for role in sorted(writers):
        grant_access(connection, serve=role)
    for role in sorted(readers):
        grant_access(connection, read=role)
    return Granted(sorted(writers), sorted(readers))


def grant_access(connection: Connection, *, serve: str | None = None, read: str | None = None) -> None:
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
    ]
    if serve is not None:
        statements.append(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {quote(serve)}")
    for role in filter(None, (serve, read)):
        statements += [
            f"GRANT USAGE ON SCHEMA {schema} TO {quote(role)}",
            f"GRANT SELECT ON {tables}, {schema}.alembic_version TO {quote(role)}",
        ]
    for statement in statements:
        connection.exec_driver_sql(statement)
