"""The tables. ``migrations`` creates them; a test holds the two against each other.

Times are epoch seconds. A key is found by (account, Region, key id); key material by (Region, material id), because a
ciphertext names only its material.
"""

from sqlalchemy import (
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
)

metadata = MetaData()

account = Table(
    "account",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("created_at", Float, nullable=False),
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
)

domain_key = Table(
    "domain_key",
    metadata,
    Column("scope", String(64), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
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
    Column("created_at", Float, nullable=False),
    Column("deletion_at", Float),
    Column("deletion_window_days", Integer),
    Column("rotation_enabled", Boolean, nullable=False),
    Column("rotation_period_days", Integer, nullable=False),
    Column("next_rotation_at", Float),
    Index("kms_key_deletion", "deletion_at"),
    Index("kms_key_rotation", "next_rotation_at"),
)

key_material = Table(
    "key_material",
    metadata,
    Column("region", String(64), primary_key=True),
    Column("material_id", String(64), primary_key=True),
    Column("account", String(12), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("token", LargeBinary, nullable=False),
    Column("state", String(48), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("rotated_at", Float),
    Column("rotation_type", String(16)),
    _belongs_to_key("key_material_key"),
    Index("key_material_of_key", *_KEY, "ordinal", unique=True),
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
    _belongs_to_key("alias_key"),
    Index("alias_of_key", *_KEY, "name"),
)

change = Table(
    "change",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("account", String(12), nullable=False),
    Column("region", String(64), nullable=False),
    Column("name", String(256), nullable=False),
    # A trimmed log must never give a sequence number twice.
    sqlite_autoincrement=True,
)
