"""What several nodes keep in one database, as far as one node needs it too."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "destruction",
        sa.Column("object_id", sa.String(64), primary_key=True),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("due_at", sa.Float, nullable=False),
        sa.Column("since", sa.Float),
        sa.Column("row_mac", sa.LargeBinary),
    )
    op.create_table(
        "seal_document",
        sa.Column("generation", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("generation"),
    )
    op.create_table(
        "retired_node",
        sa.Column("node", sa.String(12), nullable=False),
        sa.Column("retired_at", sa.Float, nullable=False),
        sa.Column("stated_by", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("node"),
    )
