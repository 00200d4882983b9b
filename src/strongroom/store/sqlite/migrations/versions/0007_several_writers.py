"""Constraints that refuse what two writers at once could insert: a service's second access key, a grant made twice."""

from collections.abc import Hashable

import msgspec
import sqlalchemy as sa
from alembic import op

from strongroom.keys.grants import Grant, terms_digest

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "access_key_service", "access_key", ["principal"], unique=True, sqlite_where=sa.text("account = ''")
    )
    op.add_column("key_grant", sa.Column("terms", sa.String(64)))
    _add_terms()
    op.create_index(
        "key_grant_terms",
        "key_grant",
        ["account", "region", "key_id", "name", "terms"],
        unique=True,
        sqlite_where=sa.text("terms IS NOT NULL"),
    )


def _add_terms() -> None:
    connection = op.get_bind()
    seen: set[Hashable] = set()
    for rowid, document in connection.exec_driver_sql("SELECT rowid, document FROM key_grant WHERE name != ''").all():
        grant = msgspec.json.decode(document, type=Grant)
        terms = terms_digest(grant)
        # Existing duplicates of a grant are kept, outside of the index.
        if (grant.locator, grant.name, terms) not in seen:
            seen.add((grant.locator, grant.name, terms))
            connection.exec_driver_sql("UPDATE key_grant SET terms = ? WHERE rowid = ?", (terms, rowid))
