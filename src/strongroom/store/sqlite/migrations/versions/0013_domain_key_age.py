"""Domain keys know when they were made, so that they can be rotated by schedule."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("domain_key", sa.Column("created_at", sa.Float))
