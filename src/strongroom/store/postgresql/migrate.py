"""Brings a database to the schema of this release, with Alembic, and grants the roles of servers what they need.

All of it is done by the owner of the database, with a command: the role of a server may not change tables.

A migration has two parts (ADR 35). Its function ``upgrade`` only adds what servers of the release before need not know,
so they go on meanwhile. Its function ``contract``, if it has one, removes what only they needed; it runs when none of
them lives.
"""

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec
import psycopg
from alembic import command
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, ProgrammingError

from strongroom.store.postgresql.engine import long_statements, transaction
from strongroom.store.postgresql.living_members import LivingMembersError, ended_members, remove_ended
from strongroom.store.postgresql.schema import metadata, schema_window
from strongroom.store.postgresql.schema_version import SCHEMA, SchemaWindow, WrongSchemaError, read_window

_GRANTED = text(
    "SELECT grantee, privilege_type FROM information_schema.table_privileges WHERE table_schema = current_schema() "
    "AND table_name = 'generation' AND privilege_type IN ('SELECT', 'INSERT') AND grantee <> 'PUBLIC' "
    "AND grantee <> current_user"
)
_HAS_ROLE = text("SELECT count(*) > 0 FROM pg_roles WHERE rolname = :role")
ATTEMPTS = 60
"""How often a migration is tried that does not get its locks: for a minute."""

_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '500ms'"
"""A migration that waits behind a long reader keeps all later readers waiting (postgresql.org, "ALTER TABLE")."""

_PAUSE = 0.5
"""How long those who have waited may read before the next attempt, seconds."""

_VERSION_TABLE = "alembic_version"
_LOCKED_WINDOW = select(schema_window.c.oldest, schema_window.c.newest, schema_window.c.moved_to).with_for_update()


def migrate(engine: Engine, *, pause: Callable[[float], object] = time.sleep, attempts: int = ATTEMPTS) -> None:
    """Create or upgrade the tables, all or none, also while servers of the release before use them.

    ``engine`` connects as their owner. It gives up waiting for a lock after half a second, and tries again after a
    pause, ``attempts`` times in all. ``pause`` waits for some seconds. Raises WrongSchemaError for a database of a
    newer release, for one that older releases than the one before may still serve, and for one with other tables than
    those of its schema.
    """
    _patiently(engine, _expand, pause, attempts)


def contract(engine: Engine, *, pause: Callable[[float], object] = time.sleep) -> None:
    """End the service of releases before the one that the tables were brought to, and remove what only they needed.

    Raises WrongSchemaError if a node of such a release lives, or if the database is of a newer release than this one.
    """
    with engine.connect() as connection:
        window = read_window(connection)
    try:
        ended = ended_members(engine, pause, older_than=window.newest)

        def act(connection: Connection) -> None:
            window = _locked_window(connection)
            remove_ended(connection, ended, older_than=window.newest)
            _contract(connection, window)

        _patiently(engine, act, pause, ATTEMPTS)
    except LivingMembersError as error:
        raise WrongSchemaError(f"servers of an older release use the database: {error}; upgrade them first") from None


def _expand(connection: Connection) -> None:
    before = _locked_window(connection) if inspect(connection).has_table(schema_window.name) else None
    if before is not None:
        if before.newest == SCHEMA:
            return
        if before.oldest != before.newest:
            raise WrongSchemaError(
                f"the database still serves releases from schema {before.oldest} on; when none of them runs any more, "
                "run `strongroom database migrate --contract`, and then this again"
            )
    try:
        command.upgrade(_config(connection), SCHEMA)
    except CommandError as error:
        raise WrongSchemaError(f"the table `{_VERSION_TABLE}` does not fit the others: {error}") from error
    except ProgrammingError as error:
        raise WrongSchemaError(f"the tables cannot be made or changed: {error.orig}") from error
    oldest = SCHEMA if before is None else before.newest
    connection.execute(update(schema_window).values(oldest=oldest, newest=SCHEMA))


def _contract(connection: Connection, window: SchemaWindow) -> None:
    script = ScriptDirectory.from_config(_config(connection))
    with Operations.context(MigrationContext.configure(connection)):
        for revision in reversed([*script.walk_revisions()]):
            step = getattr(revision.module, "contract", None)
            if step is not None and window.oldest < revision.revision <= window.newest:
                step()
    connection.execute(update(schema_window).values(oldest=window.newest))


def _locked_window(connection: Connection) -> SchemaWindow:
    """Return the window, which nobody else can change, and under which no node can join, until the transaction ends."""
    read_window(connection)
    window = SchemaWindow(*connection.execute(_LOCKED_WINDOW).one())
    if window.newest > SCHEMA:
        raise WrongSchemaError(
            f"the database has schema {window.newest}, of a newer release: this one knows schema {SCHEMA}"
        )
    return window


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "strongroom.store.postgresql:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _patiently(
    engine: Engine, act: Callable[[Connection], None], pause: Callable[[float], object], attempts: int
) -> None:
    """Run a transaction of the owner; again, if it does not get a lock in time. So others wait for a moment only."""
    while True:
        try:
            with transaction(engine) as connection, long_statements(connection):
                connection.exec_driver_sql(_LOCK_TIMEOUT)
                return act(connection)
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg.errors.LockNotAvailable):
                raise
            attempts -= 1
            if not attempts:
                raise WrongSchemaError(
                    "the tables cannot be locked, because another transaction has used them all the time; end it (see "
                    "`pg_stat_activity`), then try again. Nothing was changed"
                ) from error
        pause(_PAUSE)


class Granted(msgspec.Struct, frozen=True):
    """Roles with rights on the tables: those of servers, and those that only read. The owner is not among them."""

    serve: Sequence[str]
    read: Sequence[str]


def schema_of(engine: Engine) -> str | None:
    """Return the schema of a database; None if it has no tables of Strongroom."""
    with engine.connect() as connection:
        return read_window(connection).newest if inspect(connection).has_table(schema_window.name) else None


def require_roles(engine: Engine, roles: Iterable[str]) -> None:
    """Make sure that roles exist; raises WrongSchemaError."""
    with engine.connect() as connection:
        for role in roles:
            if not connection.execute(_HAS_ROLE, {"role": role}).scalar_one():
                raise WrongSchemaError(f"there is no role `{role}`; make it first (CREATE ROLE … LOGIN)")


def grant_roles(engine: Engine, serve: Iterable[str], read: Iterable[str]) -> Granted:
    """Give roles their rights on all tables, also those that had rights before; return them all."""
    with transaction(engine) as connection:
        known = connection.execute(_GRANTED).all()
        writers = {str(role) for role, privilege in known if privilege == "INSERT"} | {*serve}
        readers = ({str(role) for role, _ in known} | {*read}) - writers
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
            f"GRANT SELECT ON {tables}, {schema}.{_VERSION_TABLE} TO {quote(role)}",
        ]
    for statement in statements:
        connection.exec_driver_sql(statement)
