"""Proxies of external key stores of AWS KMS, their credentials, and the keys that they give out."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "xks_proxy",
        sa.Column("prefix", sa.String(115), primary_key=True),
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("region", sa.String(64), nullable=False),
        sa.Column("signing_region", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("row_mac", sa.LargeBinary),
    )
    op.create_table(
        "xks_proxy_credential",
        sa.Column("access_key_id", sa.String(30), primary_key=True),
        sa.Column("prefix", sa.String(115), nullable=False),
        sa.Column("wrapped_secret", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("row_mac", sa.LargeBinary),
        sa.ForeignKeyConstraint(["prefix"], ["xks_proxy.prefix"], name="xks_proxy_credential_proxy"),
    )
    op.create_index("xks_proxy_credential_of", "xks_proxy_credential", ["prefix"])
    op.create_table(
        "xks_proxy_key",
        sa.Column("prefix", sa.String(115), primary_key=True),
        sa.Column("external_id", sa.String(128), primary_key=True),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("usages", sa.String(32), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("row_mac", sa.LargeBinary),
        sa.ForeignKeyConstraint(["prefix"], ["xks_proxy.prefix"], name="xks_proxy_key_proxy"),
    )
