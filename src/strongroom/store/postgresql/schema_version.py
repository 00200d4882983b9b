"""Which schema a database has. Alembic is imported only where a database has to be changed."""

from sqlalchemy import Connection, inspect

SCHEMA = "0015"
"""The schema of this release: the revision of its last migration.

Its tables are those of the SQLite schema with the same number, and those of several nodes.
"""


class WrongSchemaError(Exception):
    """The database has no tables, or those of another release; the message says what to do."""


def require_this_schema(connection: Connection) -> None:
    """Make sure that a database has the schema of this release, and holds all text; raises WrongSchemaError."""
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise WrongSchemaError(f"it has the encoding {encoding}; make one with ENCODING 'UTF8'")
    if not inspect(connection).has_table("alembic_version"):
        raise WrongSchemaError(
            "it has no tables of Strongroom; make them, as the owner of the database, with: strongroom database migrate"
        )
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    if list(found) != [SCHEMA]:
        raise WrongSchemaError(
            f"it has schema {', '.join(found) or 'of no release'}, and this release of Strongroom uses {SCHEMA}; "
            "use the release that made it, or upgrade it, as its owner, with: strongroom database migrate"
        )
