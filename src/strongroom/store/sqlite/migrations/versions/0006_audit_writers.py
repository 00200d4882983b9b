"""Writers of the audit log are recorded before their first line, and when they stop."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NO_CHECKPOINT_YET = """
INSERT INTO audit_checkpoint (writer, statement, signature, stopped)
SELECT writer, x'', x'', 0 FROM audit_mark WHERE writer NOT IN (SELECT writer FROM audit_checkpoint)
"""


def upgrade() -> None:
    # Whether the existing writers have stopped is unknown.
    op.add_column("audit_checkpoint", sa.Column("stopped", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute(_NO_CHECKPOINT_YET)
