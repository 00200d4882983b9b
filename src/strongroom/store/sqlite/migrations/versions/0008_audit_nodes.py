"""Writers of the audit log belong to nodes; the database records when each was first seen."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The node of existing writers is not known yet: the first start of this release claims them.
    op.add_column("audit_checkpoint", sa.Column("node", sa.String(12), nullable=False, server_default=""))
    op.add_column("audit_checkpoint", sa.Column("first_seen", sa.Float))
