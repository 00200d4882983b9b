"""Brings a database to the schema of this release, with Alembic, and grants the roles of servers what they need.

All of it is done by the owner of the database, with a command: the role of a server may not change tables.

A migration has two parts (ADR 35). Its function ``upgrade`` only adds what servers of the release before need not know,
so they go on meanwhile. Its function ``contract``, if it has one, removes what only they needed; it runs when none of
them lives.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

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

T = TypeVar("T")

logger = logging.getLogger(__name__)

_PAUSE = 0.5
_GRANTED = text(
    "SELECT grantee, privilege_type FROM information_schema.table_privileges WHERE table_schema = current_schema() "
    "AND table_name = 'generation' AND privilege_type IN ('SELECT', 'INSERT') AND grantee <> 'PUBLIC' "
    "AND grantee <> current_user"
)
_HAS_ROLE = text("SELECT count(*) > 0 FROM pg_roles WHERE rolname = :role")
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '500ms'"
"""A migration that waits behind a long reader keeps all later readers waiting (postgresql.org, "ALTER TABLE")."""

_VERSION_TABLE = "alembic_version"
_LOCKED_WINDOW = select(schema_window.c.oldest, schema_window.c.newest, schema_window.c.moved_to).with_for_update()


def migrate(engine: Engine) -> None:
    """Create or upgrade the tables, all or none, also while servers of the release before use them.

    ``engine`` connects as their owner. Raises WrongSchemaError for a database of a newer release, for one that older
    releases than the one before may still serve, and for one with other tables than those of its schema; and an error
    of the database if a lock is not free within half a second.
    """
    with transaction(engine) as connection, long_statements(connection):
        connection.exec_driver_sql(_LOCK_TIMEOUT)
        _expand(connection)


def contract_patiently(
    engine: Engine,
    timer: Callable[[], float],
    patience: float,
    pause: Callable[[float], object] = time.sleep,
) -> SchemaWindow:
    """End the service of releases before the one that the tables were brought to, and remove what only they needed.

    It waits until the leases of killed nodes have ended, and tries again for ``patience`` seconds if tables are locked.
    Returns the window before. Raises WrongSchemaError if a node of an earlier release lives, or if the database is of a
    later release than this one.
    """
    with engine.connect() as connection:
        window = read_window(connection)
    try:
        ended = ended_members(engine, pause, older_than=window.newest)

        def act() -> SchemaWindow:
            with transaction(engine) as connection, long_statements(connection):
                connection.exec_driver_sql(_LOCK_TIMEOUT)
                window = _locked_window(connection)
                remove_ended(connection, ended, older_than=window.newest)
                _contract(connection, window)
                return window

        return _patiently(act, timer, patience, pause)
    except LivingMembersError as error:
        raise WrongSchemaError(f"servers of an earlier release use it: {error}; upgrade them first") from None


def _expand(connection: Connection) -> None:
    before = _locked_window(connection) if inspect(connection).has_table(schema_window.name) else None
    if before is not None:
        if before.newest == SCHEMA:
            return
        if before.oldest != before.newest:
            raise WrongSchemaError(
                f"it is still for releases from schema {before.oldest} on; when none of them runs any more, run "
                "`strongroom database migrate --contract`, and then this again"
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
            step = vars(revision.module).get("contract")
            if step is not None and window.oldest < revision.revision <= window.newest:
                step()
    connection.execute(update(schema_window).values(oldest=window.newest))


def _locked_window(connection: Connection) -> SchemaWindow:
    """Return the window. No process can change it, and no node can join, until the transaction ends."""
    read_window(connection)
    window = SchemaWindow(*connection.execute(_LOCKED_WINDOW).one())
    if window.newest > SCHEMA:
        raise WrongSchemaError(f"it has schema {window.newest}, of a newer release: this one knows schema {SCHEMA}")
    return window


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "strongroom.store.postgresql:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


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
    with engine.connect() as connection:
        _require_roles(connection, (*serve, *read))
    before = _schema_of(engine)

    def act() -> tuple[str | None, str, Granted]:
        _migrate_unless_done(engine)
        with transaction(engine) as connection:
            return before, SCHEMA, _grant_all(connection, serve, read)

    return _patiently(act, timer, patience, time.sleep)


def _patiently(
    act: Callable[[], T], timer: Callable[[], float], patience: float, pause: Callable[[float], object]
) -> T:
    """Do something until no other process is in the way; raises the last error of the database."""
    deadline = timer() + patience
    while True:
        try:
            return act()
        except DBAPIError as error:
            if not _may_end(error) or timer() >= deadline:
                raise
            # What follows is a detail, such as the row of the catalogue that two processes made.
            logger.warning("the tables are in use, trying again: %s", str(error.orig).partition("\n")[0].strip())
        pause(_PAUSE)


def _migrate_unless_done(engine: Engine) -> None:
    if _schema_of(engine) == SCHEMA:
        return
    try:
        migrate(engine)
    except WrongSchemaError:
        # Of two processes that make the tables at once, one finds that they are there.
        if _schema_of(engine) != SCHEMA:
            raise


def _require_roles(connection: Connection, roles: Iterable[str]) -> None:
    for role in roles:
        if not connection.execute(_HAS_ROLE, {"role": role}).scalar_one():
            raise WrongSchemaError(f"there is no role `{role}`; make it first (CREATE ROLE … LOGIN)")


def _schema_of(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return read_window(connection).newest if inspect(connection).has_table(schema_window.name) else None


def _may_end(error: DBAPIError) -> bool:
    """Tell whether an error is that of another process which uses the tables, or makes them now."""
    return isinstance(error.orig, psycopg.errors.LockNotAvailable | psycopg.errors.UniqueViolation)


def _grant_all(connection: Connection, serve: Sequence[str], read: Sequence[str]) -> Granted:
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
