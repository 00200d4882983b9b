"""The code of a release after this one: a copy of it with another version number, and one more migration."""

import shutil
from pathlib import Path

import strongroom
from strongroom.store.postgresql.schema_version import SCHEMA

NEXT_RELEASE = "99.0.0"
NEXT_SCHEMA = f"{int(SCHEMA) + 1:04}"

_MIGRATION = f'''"""A column and a table that the release before does not know, and one that only it needs."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT_SCHEMA}"
down_revision = "{SCHEMA}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alias", sa.Column("note", sa.Text(collation="C")))
    op.create_table("later", sa.Column("name", sa.Text(collation="C"), primary_key=True))
    op.create_table("needed_before", sa.Column("name", sa.Text(collation="C"), primary_key=True))


def contract() -> None:
    op.drop_table("needed_before")
'''
_TABLES = """
metadata.tables["alias"].append_column(Column("note", _text()))
later = Table("later", metadata, Column("name", _text(), primary_key=True))
"""


def make_next_release(folder: Path) -> Path:
    """Write the code below a folder; return what ``PYTHONPATH`` has to be."""
    here = Path(strongroom.__file__).parent
    package = folder / "strongroom"
    shutil.copytree(here, package, ignore=shutil.ignore_patterns("__pycache__"))
    _replace(package / "__init__.py", f'"{strongroom.__version__}"', f'"{NEXT_RELEASE}"')
    database = package / "store" / "postgresql"
    _replace(database / "schema_version.py", f'SCHEMA = "{SCHEMA}"', f'SCHEMA = "{NEXT_SCHEMA}"')
    with (database / "schema.py").open("a") as schema:
        schema.write(_TABLES)
    (database / "migrations" / "versions" / f"{NEXT_SCHEMA}_next.py").write_text(_MIGRATION)
    return folder


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, path
    path.write_text(text.replace(old, new))
