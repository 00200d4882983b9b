"""Rows that decide have a message authentication code. The start that upgrades computes those of existing rows."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TABLES = (
    "account",
    "access_key",
    "identity",
    "identity_link",
    "kms_key",
    "alias",
    "key_grant",
    "custom_key_store",
)


def upgrade() -> None:
    op.add_column("kms_key", sa.Column("material_macs", sa.LargeBinary))
    for table in _TABLES:
        op.add_column(table, sa.Column("row_mac", sa.LargeBinary))
