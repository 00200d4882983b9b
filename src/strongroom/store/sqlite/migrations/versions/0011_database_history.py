"""The history of the database, by which the audit log recognizes an older copy of it."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "database_history",
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("history_id", sa.String(16), nullable=False),
        sa.Column("began_after", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO database_history SELECT 1, lower(hex(randomblob(8))), coalesce(max(sequence), 0) FROM change")
