"""Indexes: grants by encryption context; partial indexes for properties that few keys have."""

from collections import Counter

import msgspec
import sqlalchemy as sa
from alembic import op

from strongroom.keys.grants import Grant, has_unconstrained_operation, possible_labels

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_OWNER = ["account", "region", "key_id", "grantee"]


def upgrade() -> None:
    for name, table, column in (
        ("kms_key_deletion", "kms_key", "deletion_at"),
        ("kms_key_rotation", "kms_key", "next_rotation_at"),
        ("key_material_expiry", "key_material", "expires_at"),
    ):
        op.drop_index(name, table)
        op.create_index(name, table, [column], sqlite_where=sa.text(f"{column} IS NOT NULL"))
    op.create_index(
        "kms_key_in_store",
        "kms_key",
        ["custom_key_store_id"],
        sqlite_where=sa.text("custom_key_store_id IS NOT NULL"),
    )
    op.add_column("key_grant", sa.Column("label", sa.BigInteger, server_default=sa.text("0")))
    op.add_column("key_grant", sa.Column("whatever_context", sa.Boolean, nullable=False, server_default=sa.true()))
    _label_grants()
    op.drop_index("key_grant_grantee", "key_grant")
    op.create_index("key_grant_grantee", "key_grant", [*_OWNER, "label", "grant_id"])
    op.create_index(
        "key_grant_whatever", "key_grant", [*_OWNER, "grant_id"], sqlite_where=sa.text("whatever_context")
    )


def _label_grants() -> None:
    connection = op.get_bind()
    labelled: Counter[tuple[object, ...]] = Counter()
    for rowid, document in connection.exec_driver_sql("SELECT rowid, document FROM key_grant").all():
        grant = msgspec.json.decode(document, type=Grant)
        owner = (grant.locator, grant.grantee.name)
        label = min(possible_labels(grant), key=lambda each: labelled[*owner, each], default=None)
        labelled[*owner, label] += 1
        connection.exec_driver_sql(
            "UPDATE key_grant SET label = ?, whatever_context = ? WHERE rowid = ?",
            (label, has_unconstrained_operation(grant), rowid),
        )
