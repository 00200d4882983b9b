"""Users, groups, roles and policies; grants; last uses of access keys; unique ids of principals in policies."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEY = ["account", "region", "key_id"]


def upgrade() -> None:
    op.create_table(
        "identity",
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("name_key", sa.String(128), primary_key=True),
        sa.Column("path", sa.String(512), nullable=False),
        sa.Column("unique_id", sa.String(32), nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
    op.create_index("identity_unique_id", "identity", ["unique_id"], unique=True)
    op.create_table(
        "identity_link",
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("name_key", sa.String(128), primary_key=True),
        sa.Column("relation", sa.String(16), primary_key=True),
        sa.Column("target", sa.String(2048), primary_key=True),
    )
    op.create_index("identity_link_target", "identity_link", ["account", "target"])
    op.create_table(
        "key_grant",
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("region", sa.String(64), primary_key=True),
        sa.Column("key_id", sa.String(64), primary_key=True),
        sa.Column("grant_id", sa.String(64), primary_key=True),
        sa.Column("grantee", sa.String(2048), nullable=False),
        sa.Column("retiring", sa.String(2048)),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(_KEY, ["kms_key.account", "kms_key.region", "kms_key.key_id"], name="key_grant_key"),
    )
    op.create_index("key_grant_grantee", "key_grant", [*_KEY, "grantee"])
    op.create_index("key_grant_name", "key_grant", [*_KEY, "name"])
    op.create_index("key_grant_retiring", "key_grant", ["retiring", "region", "grant_id"])
    op.add_column("kms_key", sa.Column("pinned", sa.LargeBinary, nullable=False, server_default=sa.literal(b"[]")))
    op.create_index("access_key_principal", "access_key", ["account", "principal"])
    op.add_column("access_key", sa.Column("last_used_at", sa.Float))
    op.add_column("access_key", sa.Column("last_used_region", sa.String(64)))
    op.add_column("access_key", sa.Column("last_used_service", sa.String(16)))
