"""Imported key material, multi-Region keys, when a key was last used, custom key stores."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("kms_key", sa.Column("primary_region", sa.String(64), nullable=False, server_default=sa.literal("")))
    op.add_column("kms_key", sa.Column("replica_regions", sa.Text, nullable=False, server_default=sa.literal("")))
    op.add_column("kms_key", sa.Column("custom_key_store_id", sa.String(64)))
    op.execute("UPDATE kms_key SET primary_region = region WHERE multi_region")
    with op.batch_alter_table("key_material") as batch:
        batch.alter_column("token", existing_type=sa.LargeBinary, nullable=True)
        batch.add_column(sa.Column("expires_at", sa.Float))
        batch.add_column(sa.Column("description", sa.String(256)))
    op.create_index("key_material_expiry", "key_material", ["expires_at"])
    op.create_table(
        "key_usage",
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("region", sa.String(64), primary_key=True),
        sa.Column("key_id", sa.String(64), primary_key=True),
        sa.Column("operation", sa.String(64), nullable=False),
        sa.Column("used_at", sa.Float, nullable=False),
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
    )
    op.create_table(
        "key_count",
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("region", sa.String(64), primary_key=True),
        sa.Column("customer_keys", sa.Integer, nullable=False),
    )
    op.execute(
        "INSERT INTO key_count SELECT account, region, count(*) FROM kms_key WHERE manager = 'CUSTOMER'"
        " GROUP BY account, region"
    )
    op.create_table(
        "custom_key_store",
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("region", sa.String(64), primary_key=True),
        sa.Column("store_id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
    op.create_index("custom_key_store_name", "custom_key_store", ["account", "region", "name"], unique=True)
