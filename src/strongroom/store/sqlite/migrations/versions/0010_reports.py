"""When users and roles used which service; credential reports; jobs of reports on what was last accessed."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "principal_use",
        sa.Column("unique_id", sa.String(32), primary_key=True),
        sa.Column("service", sa.String(16), primary_key=True),
        sa.Column("used_at", sa.Float, nullable=False),
        sa.Column("region", sa.String(64), nullable=False),
    )
    op.create_table(
        "credential_report",
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("generated_at", sa.Float, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "last_accessed_job",
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("subject", sa.String(2048), primary_key=True),
        sa.Column("granularity", sa.String(16), primary_key=True),
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_index("last_accessed_job_id", "last_accessed_job", ["job_id"], unique=True)
    op.create_index("last_accessed_job_subject", "last_accessed_job", ["subject"])
