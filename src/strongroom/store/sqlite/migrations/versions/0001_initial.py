"""Accounts, access keys, domain keys, KMS keys with their material, tags and aliases, and the change log."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY = ["account", "region", "key_id"]
_PARENT = ["kms_key.account", "kms_key.region", "kms_key.key_id"]


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_table(
        "access_key",
        sa.Column("access_key_id", sa.String(128), primary_key=True),
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("wrapped_secret", sa.LargeBinary, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_table(
        "domain_key",
        sa.Column("scope", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "kms_key",
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("region", sa.String(64), primary_key=True),
        sa.Column("key_id", sa.String(64), primary_key=True),
        sa.Column("spec", sa.String(32), nullable=False),
        sa.Column("usage", sa.String(32), nullable=False),
        sa.Column("origin", sa.String(32), nullable=False),
        sa.Column("manager", sa.String(16), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("multi_region", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("deletion_at", sa.Float),
        sa.Column("deletion_window_days", sa.Integer),
        sa.Column("rotation_enabled", sa.Boolean, nullable=False),
        sa.Column("rotation_period_days", sa.Integer, nullable=False),
        sa.Column("next_rotation_at", sa.Float),
    )
    op.create_index("kms_key_deletion", "kms_key", ["deletion_at"])
    op.create_index("kms_key_rotation", "kms_key", ["next_rotation_at"])
    op.create_table(
        "key_material",
        sa.Column("region", sa.String(64), primary_key=True),
        sa.Column("material_id", sa.String(64), primary_key=True),
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("token", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(48), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("rotated_at", sa.Float),
        sa.Column("rotation_type", sa.String(16)),
        sa.ForeignKeyConstraint(_KEY, _PARENT, name="key_material_key"),
    )
    op.create_index("key_material_of_key", "key_material", [*_KEY, "ordinal"], unique=True)
    op.create_table(
        "key_tag",
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("region", sa.String(64), primary_key=True),
        sa.Column("key_id", sa.String(64), primary_key=True),
        sa.Column("tag_key", sa.String(128), primary_key=True),
        sa.Column("tag_value", sa.String(256), nullable=False),
        sa.ForeignKeyConstraint(_KEY, _PARENT, name="key_tag_key"),
    )
    op.create_table(
        "alias",
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("region", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(256), primary_key=True),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
        sa.ForeignKeyConstraint(_KEY, _PARENT, name="alias_key"),
    )
    op.create_index("alias_of_key", "alias", [*_KEY, "name"])
    op.create_table(
        "change",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("region", sa.String(64), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sqlite_autoincrement=True,
    )
