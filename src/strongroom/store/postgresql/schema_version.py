"""Which schema a database has, and which releases it is for. Alembic is imported only where it has to be changed.

A database may have a newer schema than the servers that use it (ADR 35): a migration only adds what they need not know.
So the row ``schema_window`` says which releases may serve: from the oldest schema whose release may, to the newest that
the tables were brought to.
"""

import msgspec
from sqlalchemy import Connection, inspect, select

from strongroom.store.postgresql.schema import schema_window

SCHEMA = "0015"
"""The schema of this release: the revision of its last migration.

Its tables are those of the SQLite schema with the same number, and those of several nodes.
"""

_WINDOW = select(schema_window.c.oldest, schema_window.c.newest, schema_window.c.moved_to)


class WrongSchemaError(Exception):
    """The database has no tables, or those of another release, or is used no more; the message says what to do."""


class SchemaWindow(msgspec.Struct, frozen=True):
    """Which releases may serve, by their schemas, and where the deployment has moved, if it has."""

    oldest: str
    newest: str
    moved_to: str | None

    @property
    def refusal(self) -> str | None:
        """Why this release may not serve, in a sentence without its end; None if it may."""
        if self.moved_to is not None:
            return f"the deployment has moved to {self.moved_to}; what is here is from before"
        if self.newest < SCHEMA:
            return (
                f"it has schema {self.newest}, and this release of Strongroom uses {SCHEMA}; upgrade it first, as its "
                "owner, with `strongroom database migrate` of this release: servers of the one before go on meanwhile"
            )
        if self.oldest > SCHEMA:
            return (
                f"it is for releases from schema {self.oldest} on, and this release of Strongroom uses {SCHEMA}; use a "
                "later release"
            )
        return None


def read_window(connection: Connection) -> SchemaWindow:
    """Return which releases a database is for; raises WrongSchemaError if it has no tables of Strongroom."""
    if not inspect(connection).has_table(schema_window.name):
        raise WrongSchemaError(
            "it has no tables of Strongroom; make them, as the owner of the database, with: strongroom database migrate"
        )
    found = connection.execute(_WINDOW).one_or_none()
    if found is None:
        raise WrongSchemaError("its table `schema_window` has no row; restore it")
    return SchemaWindow(*found)


def require_this_schema(connection: Connection) -> None:
    """Make sure that this release may serve a database, and that it holds all text; raises WrongSchemaError."""
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise WrongSchemaError(f"it has the encoding {encoding}; make one with ENCODING 'UTF8'")
    refusal = read_window(connection).refusal
    if refusal is not None:
        raise WrongSchemaError(refusal)
