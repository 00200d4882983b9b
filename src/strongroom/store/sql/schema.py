"""The tables. ``migrations`` creates them; a test checks that both agree.

Rows that decide have a message authentication code (``row_mac``; see ``row_macs``). It is NULL only in rows that an
older release wrote and no start has adopted yet.

Times are epoch seconds. A key is found by (account, Region, key id); key material by (Region, material id), because a
ciphertext names only its material.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
    literal,
    text,
    true,
)

metadata = MetaData()


def _row_mac() -> Column[bytes]:
    return Column("row_mac", LargeBinary)


def _partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Return an index that has only the rows that meet a condition."""
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


account = Table(
    "account",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("created_at", Float, nullable=False),
    Column("alias", String(63)),
    Column("password_policy", LargeBinary),
    _row_mac(),
    Index("account_alias", "alias", unique=True),
)

access_key = Table(
    "access_key",
    metadata,
    Column("access_key_id", String(128), primary_key=True),
    Column("account", String(12), nullable=False),
    Column("principal", Text, nullable=False),
    Column("wrapped_secret", LargeBinary, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("last_used_at", Float),
    Column("last_used_region", String(64)),
    Column("last_used_service", String(16)),
    _row_mac(),
    Index("access_key_principal", "account", "principal"),
    # A service has one access key.
    _partial_index("access_key_service", "principal", unique=True, where="account = ''"),
)

identity = Table(
    "identity",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("kind", String(16), primary_key=True),
    # In lower case: names differ in more than their case.
    Column("name_key", String(256), primary_key=True),
    Column("path", String(512), nullable=False),
    Column("unique_id", String(32), nullable=False),
    Column("document", LargeBinary, nullable=False),
    _row_mac(),
    Index("identity_unique_id", "unique_id", unique=True),
)

identity_link = Table(
    "identity_link",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("name_key", String(256), primary_key=True),
    Column("relation", String(16), primary_key=True),
    Column("target", String(2048), primary_key=True),
    _row_mac(),
    Index("identity_link_target", "account", "target"),
)

principal_use = Table(
    "principal_use",
    metadata,
    # A user's or role's.
    Column("unique_id", String(32), primary_key=True),
    Column("service", String(16), primary_key=True),
    Column("used_at", Float, nullable=False),
    Column("region", String(64), nullable=False),
)

credential_report = Table(
    "credential_report",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("generated_at", Float, nullable=False),
    Column("content", LargeBinary, nullable=False),
)

last_accessed_job = Table(
    "last_accessed_job",
    metadata,
    Column("account", String(12), primary_key=True),
    # A unique id; the ARN of an AWS managed policy.
    Column("subject", String(2048), primary_key=True),
    Column("granularity", String(16), primary_key=True),
    Column("job_id", String(36), nullable=False),
    Column("created_at", Float, nullable=False),
    Index("last_accessed_job_id", "job_id", unique=True),
    Index("last_accessed_job_subject", "subject"),
)

domain_key = Table(
    "domain_key",
    metadata,
    Column("scope", String(64), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
    # NULL for those that an older release has made.
    Column("created_at", Float),
)

_KEY = ("account", "region", "key_id")


def _key_columns(*, primary: bool) -> tuple[Column[str], Column[str], Column[str]]:
    return (
        Column("account", String(12), primary_key=primary, nullable=False),
        Column("region", String(64), primary_key=primary, nullable=False),
        Column("key_id", String(64), primary_key=primary, nullable=False),
    )


def _belongs_to_key(name: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(_KEY, [f"kms_key.{column}" for column in _KEY], name=name)


kms_key = Table(
    "kms_key",
    metadata,
    *_key_columns(primary=True),
    Column("spec", String(32), nullable=False),
    Column("usage", String(32), nullable=False),
    Column("origin", String(32), nullable=False),
    Column("manager", String(16), nullable=False),
    Column("state", String(32), nullable=False),
    Column("description", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("multi_region", Boolean, nullable=False),
    Column("primary_region", String(64), nullable=False, server_default=literal("")),
    # Comma-separated.
    Column("replica_regions", Text, nullable=False, server_default=literal("")),
    Column("custom_key_store_id", String(64)),
    Column("created_at", Float, nullable=False),
    Column("deletion_at", Float),
    Column("deletion_window_days", Integer),
    Column("rotation_enabled", Boolean, nullable=False),
    Column("rotation_period_days", Integer, nullable=False),
    Column("next_rotation_at", Float),
    Column("pinned", LargeBinary, nullable=False, server_default=literal(b"[]")),
    # The id and the code of each material, oldest first: so a missing material is known by its id.
    Column("material_macs", LargeBinary),
    # Also of the resource tags.
    _row_mac(),
    # Only of the few keys that have one: the others are neither written to the index nor searched.
    _partial_index("kms_key_deletion", "deletion_at", where="deletion_at IS NOT NULL"),
    _partial_index("kms_key_rotation", "next_rotation_at", where="next_rotation_at IS NOT NULL"),
    _partial_index("kms_key_in_store", "custom_key_store_id", where="custom_key_store_id IS NOT NULL"),
)

key_count = Table(
    "key_count",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("region", String(64), primary_key=True),
    # Those of the account's own, not AWS managed keys.
    Column("customer_keys", Integer, nullable=False),
)

key_material = Table(
    "key_material",
    metadata,
    Column("region", String(64), primary_key=True),
    Column("material_id", String(64), primary_key=True),
    Column("account", String(12), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("token", LargeBinary),
    Column("state", String(48), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("rotated_at", Float),
    Column("rotation_type", String(16)),
    Column("expires_at", Float),
    Column("description", String(256)),
    _belongs_to_key("key_material_key"),
    Index("key_material_of_key", *_KEY, "ordinal", unique=True),
    _partial_index("key_material_expiry", "expires_at", where="expires_at IS NOT NULL"),
)

key_tag = Table(
    "key_tag",
    metadata,
    *_key_columns(primary=True),
    Column("tag_key", String(128), primary_key=True),
    Column("tag_value", String(256), nullable=False),
    _belongs_to_key("key_tag_key"),
)

alias = Table(
    "alias",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("region", String(64), primary_key=True),
    Column("name", String(256), primary_key=True),
    Column("key_id", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    _row_mac(),
    _belongs_to_key("alias_key"),
    Index("alias_of_key", *_KEY, "name"),
)

key_grant = Table(
    "key_grant",
    metadata,
    *_key_columns(primary=True),
    Column("grant_id", String(64), primary_key=True),
    Column("grantee", String(2048), nullable=False),
    Column("retiring", String(2048)),
    Column("name", String(256), nullable=False),
    Column("document", LargeBinary, nullable=False),
    # The label that the grant is found by; null if no encryption context can matter to it. Grants that are inserted
    # without these columns, by an older release, are candidates for every call.
    Column("label", BigInteger, server_default=text("0")),
    Column("whatever_context", Boolean, nullable=False, server_default=true()),
    # A digest of the grant's terms, if it has a name: a retry of CreateGrant under the same name makes no other grant.
    Column("terms", String(64)),
    _row_mac(),
    _belongs_to_key("key_grant_key"),
    Index("key_grant_grantee", *_KEY, "grantee", "label", "grant_id"),
    _partial_index("key_grant_whatever", *_KEY, "grantee", "grant_id", where="whatever_context"),
    Index("key_grant_name", *_KEY, "name"),
    _partial_index("key_grant_terms", *_KEY, "name", "terms", unique=True, where="terms IS NOT NULL"),
    Index("key_grant_retiring", "retiring", "region", "grant_id"),
)

key_usage = Table(
    "key_usage",
    metadata,
    *_key_columns(primary=True),
    Column("operation", String(64), nullable=False),
    Column("used_at", Float, nullable=False),
    Column("event_id", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
)

custom_key_store = Table(
    "custom_key_store",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("region", String(64), primary_key=True),
    Column("store_id", String(64), primary_key=True),
    Column("name", String(256), nullable=False),
    Column("document", LargeBinary, nullable=False),
    _row_mac(),
    Index("custom_key_store_name", "account", "region", "name", unique=True),
)

xks_proxy = Table(
    "xks_proxy",
    metadata,
    # Empty for the proxy whose path has none.
    Column("prefix", String(115), primary_key=True),
    Column("account", String(12), nullable=False),
    Column("region", String(64), nullable=False),
    Column("signing_region", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
    _row_mac(),
)

xks_proxy_credential = Table(
    "xks_proxy_credential",
    metadata,
    Column("access_key_id", String(30), primary_key=True),
    Column("prefix", String(115), nullable=False),
    Column("wrapped_secret", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
    _row_mac(),
    ForeignKeyConstraint(["prefix"], ["xks_proxy.prefix"], name="xks_proxy_credential_proxy"),
    Index("xks_proxy_credential_of", "prefix"),
)

xks_proxy_key = Table(
    "xks_proxy_key",
    metadata,
    Column("prefix", String(115), primary_key=True),
    Column("external_id", String(128), primary_key=True),
    # Of the proxy's account and Region. The key may be gone.
    Column("key_id", String(64), nullable=False),
    # Comma-separated.
    Column("usages", String(32), nullable=False),
    Column("created_at", Float, nullable=False),
    _row_mac(),
    ForeignKeyConstraint(["prefix"], ["xks_proxy.prefix"], name="xks_proxy_key_proxy"),
)

destruction = Table(
    "destruction",
    metadata,
    Column("object_id", String(64), primary_key=True),
    Column("document", LargeBinary, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("since", Float),
    _row_mac(),
)

seal_document = Table(
    "seal_document",
    metadata,
    # Only a database that nodes share has a row, one; otherwise the document is a file in the data folder.
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
)

audit_key = Table(
    "audit_key",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("wrapped_secret", LargeBinary, nullable=False),
)

audit_mark = Table(
    "audit_mark",
    metadata,
    Column("writer", String(16), primary_key=True),
    Column("segment", String(64), nullable=False),
    Column("offset", BigInteger, nullable=False),
)

audit_checkpoint = Table(
    "audit_checkpoint",
    metadata,
    # One row for each writer, from before its first line on; statement and signature are empty before its first
    # checkpoint.
    Column("writer", String(16), primary_key=True),
    Column("statement", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    # Whether the writer has stopped since, and has left no line after the checkpoint.
    Column("stopped", Boolean, nullable=False, server_default=false()),
    # The node it belongs to; empty for writers of releases in which nodes had no ids, until a node claims them.
    Column("node", String(12), nullable=False, server_default=""),
    # When it was first recorded, epoch seconds; NULL for writers that an older release recorded.
    Column("first_seen", Float),
)

retired_node = Table(
    "retired_node",
    metadata,
    # It has lost its disk, and never writes again.
    Column("node", String(12), primary_key=True),
    Column("retired_at", Float, nullable=False),
    # The writer of the audit chain that states what was lost.
    Column("stated_by", String(16), nullable=False),
)

database_history = Table(
    "database_history",
    metadata,
    # The last row is the present history.
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("history_id", String(16), nullable=False),
    # The newest change when it began.
    Column("began_after", BigInteger, nullable=False),
)

change = Table(
    "change",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("account", String(12), nullable=False),
    Column("region", String(64), nullable=False),
    Column("name", String(256), nullable=False),
    # A sequence number must not be used again after the log was trimmed.
    sqlite_autoincrement=True,
)
