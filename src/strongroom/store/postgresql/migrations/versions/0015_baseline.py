"""All tables: those of schema 0015 in SQLite, and those of several nodes."""

import sqlalchemy as sa
from alembic import op

from strongroom.entropy import system_entropy

revision = "0015"
down_revision = None
branch_labels = None
depends_on = None


def _text(length: int | None = None) -> sa.String:
    return sa.Text(collation="C") if length is None else sa.String(length, collation="C")


def _single(name: str) -> sa.Column[bool]:
    only = sa.CheckConstraint("single", name=name)
    return sa.Column("single", sa.Boolean, only, primary_key=True, server_default=sa.true())


def _of_key(name: str) -> sa.ForeignKeyConstraint:
    key = ["account", "region", "key_id"]
    return sa.ForeignKeyConstraint(key, [f"kms_key.{column}" for column in key], name=name)


def upgrade() -> None:
    op.create_table(
        "access_key",
        sa.Column("access_key_id", _text(128), primary_key=True),
        sa.Column("account", _text(12), nullable=False),
        sa.Column("principal", _text(), nullable=False),
        sa.Column("wrapped_secret", sa.LargeBinary, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("last_used_at", sa.Float),
        sa.Column("last_used_region", _text(64)),
        sa.Column("last_used_service", _text(16)),
        sa.Column("row_mac", sa.LargeBinary),
    )
    op.create_index("access_key_principal", "access_key", ["account", "principal"])
    op.create_index(
        "access_key_service", "access_key", ["principal"], unique=True, postgresql_where=sa.text("account = ''")
    )
    op.create_table(
        "account",
        sa.Column("account", _text(12), primary_key=True),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("alias", _text(63)),
        sa.Column("password_policy", sa.LargeBinary),
        sa.Column("row_mac", sa.LargeBinary),
    )
    op.create_index("account_alias", "account", ["alias"], unique=True)
    op.create_table(
        "audit_checkpoint",
        sa.Column("writer", _text(16), primary_key=True),
        sa.Column("statement", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("stopped", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("node", _text(12), server_default="", nullable=False),
        sa.Column("first_seen", sa.Float),
    )
    op.create_table(
        "seal_document",
        sa.Column("generation", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "audit_key",
        sa.Column("version", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("wrapped_secret", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "audit_mark",
        sa.Column("writer", _text(16), primary_key=True),
        sa.Column("segment", _text(64), nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "change",
        sa.Column("sequence", sa.BigInteger, autoincrement=False, primary_key=True),
        sa.Column("tag", sa.LargeBinary, nullable=False),
        sa.Column("kind", _text(16), nullable=False),
        sa.Column("account", _text(12), nullable=False),
        sa.Column("region", _text(64), nullable=False),
        sa.Column("name", _text(256), nullable=False),
    )
    op.create_table(
        "credential_report",
        sa.Column("account", _text(12), primary_key=True),
        sa.Column("generated_at", sa.Float, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "custom_key_store",
        sa.Column("account", _text(12), nullable=False),
        sa.Column("region", _text(64), nullable=False),
        sa.Column("store_id", _text(64), nullable=False),
        sa.Column("name", _text(256), nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("row_mac", sa.LargeBinary),
        sa.PrimaryKeyConstraint("account", "region", "store_id"),
    )
    op.create_index("custom_key_store_name", "custom_key_store", ["account", "region", "name"], unique=True)
    op.create_table(
        "database_history",
        sa.Column("ordinal", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("history_id", _text(16), nullable=False),
        sa.Column("began_after", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "domain_key",
        sa.Column("scope", _text(64), nullable=False),
        sa.Column("version", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Float),
        sa.PrimaryKeyConstraint("scope", "version"),
    )
    op.create_table(
        "generation",
        _single("generation_single"),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("tag", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "identity",
        sa.Column("account", _text(12), nullable=False),
        sa.Column("kind", _text(16), nullable=False),
        sa.Column("name_key", _text(256), nullable=False),
        sa.Column("path", _text(512), nullable=False),
        sa.Column("unique_id", _text(32), nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("row_mac", sa.LargeBinary),
        sa.PrimaryKeyConstraint("account", "kind", "name_key"),
    )
    op.create_index("identity_unique_id", "identity", ["unique_id"], unique=True)
    op.create_table(
        "identity_link",
        sa.Column("account", _text(12), nullable=False),
        sa.Column("kind", _text(16), nullable=False),
        sa.Column("name_key", _text(256), nullable=False),
        sa.Column("relation", _text(16), nullable=False),
        sa.Column("target", _text(2048), nullable=False),
        sa.Column("row_mac", sa.LargeBinary),
        sa.PrimaryKeyConstraint("account", "kind", "name_key", "relation", "target"),
    )
    op.create_index("identity_link_target", "identity_link", ["account", "target"])
    op.create_table(
        "key_count",
        sa.Column("account", _text(12), nullable=False),
        sa.Column("region", _text(64), nullable=False),
        sa.Column("customer_keys", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("account", "region"),
    )
    op.create_table(
        "key_usage",
        sa.Column("account", _text(12), nullable=False),
        sa.Column("region", _text(64), nullable=False),
        sa.Column("key_id", _text(64), nullable=False),
        sa.Column("operation", _text(64), nullable=False),
        sa.Column("used_at", sa.Float, nullable=False),
        sa.Column("event_id", _text(64), nullable=False),
        sa.Column("request_id", _text(64), nullable=False),
        sa.PrimaryKeyConstraint("account", "region", "key_id"),
    )
    op.create_table(
        "kms_key",
        sa.Column("account", _text(12), nullable=False),
        sa.Column("region", _text(64), nullable=False),
        sa.Column("key_id", _text(64), nullable=False),
        sa.Column("spec", _text(32), nullable=False),
        sa.Column("usage", _text(32), nullable=False),
        sa.Column("origin", _text(32), nullable=False),
        sa.Column("manager", _text(16), nullable=False),
        sa.Column("state", _text(32), nullable=False),
        sa.Column("description", _text(), nullable=False),
        sa.Column("policy", _text(), nullable=False),
        sa.Column("multi_region", sa.Boolean, nullable=False),
        sa.Column("primary_region", _text(64), server_default="", nullable=False),
        sa.Column("replica_regions", _text(), server_default="", nullable=False),
        sa.Column("custom_key_store_id", _text(64)),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("deletion_at", sa.Float),
        sa.Column("deletion_window_days", sa.Integer),
        sa.Column("rotation_enabled", sa.Boolean, nullable=False),
        sa.Column("rotation_period_days", sa.Integer, nullable=False),
        sa.Column("next_rotation_at", sa.Float),
        sa.Column("pinned", sa.LargeBinary, server_default=sa.literal(b"[]"), nullable=False),
        sa.Column("material_macs", sa.LargeBinary),
        sa.Column("row_mac", sa.LargeBinary),
        sa.PrimaryKeyConstraint("account", "region", "key_id"),
    )
    op.create_index("kms_key_deletion", "kms_key", ["deletion_at"], postgresql_where=sa.text("deletion_at IS NOT NULL"))
    op.create_index("kms_key_id", "kms_key", ["key_id"])
    op.create_index(
        "kms_key_in_store",
        "kms_key",
        ["custom_key_store_id"],
        postgresql_where=sa.text("custom_key_store_id IS NOT NULL"),
    )
    op.create_index(
        "kms_key_rotation", "kms_key", ["next_rotation_at"], postgresql_where=sa.text("next_rotation_at IS NOT NULL")
    )
    op.create_table(
        "last_accessed_job",
        sa.Column("account", _text(12), nullable=False),
        sa.Column("subject", _text(2048), nullable=False),
        sa.Column("granularity", _text(16), nullable=False),
        sa.Column("job_id", _text(36), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("account", "subject", "granularity"),
    )
    op.create_index("last_accessed_job_id", "last_accessed_job", ["job_id"], unique=True)
    op.create_index("last_accessed_job_subject", "last_accessed_job", ["subject"])
    op.create_table(
        "member",
        sa.Column("node", _text(12), nullable=False),
        sa.Column("incarnation", sa.LargeBinary, nullable=False),
        sa.Column("renewed", sa.BigInteger, nullable=False),
        sa.Column("acked", sa.BigInteger, nullable=False),
        sa.Column("lease", sa.Float, nullable=False),
        sa.Column("release", _text(64), nullable=False),
        sa.Column("schema", _text(8), nullable=False),
        sa.Column("listen", _text(), nullable=False),
        sa.Column("regions", _text(), nullable=False),
        sa.Column("workers", sa.Integer, nullable=False),
        sa.Column("joined_at", sa.Float, nullable=False),
        sa.Column("renewed_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("node"),
    )
    op.create_table(
        "principal_use",
        sa.Column("unique_id", _text(32), nullable=False),
        sa.Column("service", _text(16), nullable=False),
        sa.Column("used_at", sa.Float, nullable=False),
        sa.Column("region", _text(64), nullable=False),
        sa.PrimaryKeyConstraint("unique_id", "service"),
    )
    op.create_table(
        "granted_lease",
        sa.Column("node", _text(12), primary_key=True),
        sa.Column("incarnation", sa.LargeBinary, primary_key=True),
        sa.Column("lease", sa.Float, nullable=False),
    )
    op.create_table(
        "keeper_turn",
        _single("keeper_turn_single"),
        sa.Column("holder", _text(32), nullable=False),
        sa.Column("ends_at", sa.Float, nullable=False),
    )
    op.create_table(
        "receipt",
        sa.Column("tag", sa.LargeBinary, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("tag"),
    )
    op.create_index("receipt_made_at", "receipt", ["made_at"])
    op.create_table(
        "retired_node",
        sa.Column("node", _text(12), nullable=False),
        sa.Column("retired_at", sa.Float, nullable=False),
        sa.Column("stated_by", _text(16), nullable=False),
        sa.PrimaryKeyConstraint("node"),
    )
    op.create_table(
        "schema_window",
        _single("schema_window_single"),
        sa.Column("oldest", _text(8), nullable=False),
        sa.Column("newest", _text(8), nullable=False),
        sa.Column("moved_to", _text()),
    )
    op.create_table(
        "xks_proxy",
        sa.Column("prefix", _text(115), primary_key=True),
        sa.Column("account", _text(12), nullable=False),
        sa.Column("region", _text(64), nullable=False),
        sa.Column("signing_region", _text(64), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("row_mac", sa.LargeBinary),
    )
    op.create_table(
        "alias",
        sa.Column("account", _text(12), nullable=False),
        sa.Column("region", _text(64), nullable=False),
        sa.Column("name", _text(256), nullable=False),
        sa.Column("key_id", _text(64), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
        sa.Column("row_mac", sa.LargeBinary),
        _of_key("alias_key"),
        sa.PrimaryKeyConstraint("account", "region", "name"),
    )
    op.create_index("alias_of_key", "alias", ["account", "region", "key_id", "name"])
    op.create_table(
        "key_grant",
        sa.Column("account", _text(12), nullable=False),
        sa.Column("region", _text(64), nullable=False),
        sa.Column("key_id", _text(64), nullable=False),
        sa.Column("grant_id", _text(64), nullable=False),
        sa.Column("grantee", _text(2048), nullable=False),
        sa.Column("retiring", _text(2048)),
        sa.Column("name", _text(256), nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("label", sa.BigInteger, server_default=sa.text("0")),
        sa.Column("whatever_context", sa.Boolean, server_default=sa.true(), nullable=False),
        sa.Column("terms", _text(64)),
        sa.Column("row_mac", sa.LargeBinary),
        _of_key("key_grant_key"),
        sa.PrimaryKeyConstraint("account", "region", "key_id", "grant_id"),
    )
    op.create_index("key_grant_grantee", "key_grant", ["account", "region", "key_id", "grantee", "label", "grant_id"])
    op.create_index("key_grant_name", "key_grant", ["account", "region", "key_id", "name"])
    op.create_index("key_grant_retiring", "key_grant", ["retiring", "region", "grant_id"])
    op.create_index(
        "key_grant_terms",
        "key_grant",
        ["account", "region", "key_id", "name", "terms"],
        unique=True,
        postgresql_where=sa.text("terms IS NOT NULL"),
    )
    op.create_index(
        "key_grant_whatever",
        "key_grant",
        ["account", "region", "key_id", "grantee", "grant_id"],
        postgresql_where=sa.text("whatever_context"),
    )
    op.create_table(
        "key_material",
        sa.Column("region", _text(64), nullable=False),
        sa.Column("material_id", _text(64), nullable=False),
        sa.Column("account", _text(12), nullable=False),
        sa.Column("key_id", _text(64), nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("token", sa.LargeBinary),
        sa.Column("state", _text(48), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("rotated_at", sa.Float),
        sa.Column("rotation_type", _text(16)),
        sa.Column("expires_at", sa.Float),
        sa.Column("description", _text(256)),
        _of_key("key_material_key"),
        sa.PrimaryKeyConstraint("region", "material_id"),
    )
    op.create_index(
        "key_material_expiry", "key_material", ["expires_at"], postgresql_where=sa.text("expires_at IS NOT NULL")
    )
    op.create_index("key_material_of_key", "key_material", ["account", "region", "key_id", "ordinal"], unique=True)
    op.create_table(
        "key_tag",
        sa.Column("account", _text(12), nullable=False),
        sa.Column("region", _text(64), nullable=False),
        sa.Column("key_id", _text(64), nullable=False),
        sa.Column("tag_key", _text(128), nullable=False),
        sa.Column("tag_value", _text(256), nullable=False),
        _of_key("key_tag_key"),
        sa.PrimaryKeyConstraint("account", "region", "key_id", "tag_key"),
    )
    op.create_table(
        "destruction",
        sa.Column("object_id", _text(64), nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("due_at", sa.Float, nullable=False),
        sa.Column("since", sa.Float),
        sa.Column("row_mac", sa.LargeBinary),
        sa.PrimaryKeyConstraint("object_id"),
    )
    op.create_table(
        "xks_proxy_credential",
        sa.Column("access_key_id", _text(30), primary_key=True),
        sa.Column("prefix", _text(115), nullable=False),
        sa.Column("wrapped_secret", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("row_mac", sa.LargeBinary),
        sa.ForeignKeyConstraint(["prefix"], ["xks_proxy.prefix"], name="xks_proxy_credential_proxy"),
    )
    op.create_index("xks_proxy_credential_of", "xks_proxy_credential", ["prefix"])
    op.create_table(
        "xks_proxy_key",
        sa.Column("prefix", _text(115), nullable=False),
        sa.Column("external_id", _text(128), nullable=False),
        sa.Column("key_id", _text(64), nullable=False),
        sa.Column("usages", _text(32), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("row_mac", sa.LargeBinary),
        sa.ForeignKeyConstraint(["prefix"], ["xks_proxy.prefix"], name="xks_proxy_key_proxy"),
        sa.PrimaryKeyConstraint("prefix", "external_id"),
    )
    op.execute(f"INSERT INTO schema_window (oldest, newest) VALUES ('{revision}', '{revision}')")  # noqa: S608 - ours
    op.execute(sa.text("INSERT INTO generation (number, tag) VALUES (0, :tag)").bindparams(tag=system_entropy(8)))
    begin = sa.text("INSERT INTO database_history (ordinal, history_id, began_after) VALUES (1, :history_id, 0)")
    op.execute(begin.bindparams(history_id=system_entropy(8).hex()))
