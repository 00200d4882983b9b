"""The key that signs checkpoints of the audit log; the newest checkpoint of each writer, and its mark."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_key",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("wrapped_secret", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "audit_mark",
        sa.Column("writer", sa.String(16), primary_key=True),
        sa.Column("segment", sa.String(64), nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "audit_checkpoint",
        sa.Column("writer", sa.String(16), primary_key=True),
        sa.Column("statement", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
    )
