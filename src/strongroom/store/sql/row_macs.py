"""Which rows have a message authentication code, and the message that it authenticates.

A message is MessagePack (msgpack.org), each value in its shortest form: an array of ``strongroom-row-1``, the name of
the table, an array of the covered columns that are not NULL, and an array of the rows that belong to this one. A column
is its name followed by its value, in the order of the names. Text, bytes, integers, floats and booleans are different
types in MessagePack, and NULL is the absence of a column, so no two rows have the same message. A later release may add
a column: rows in which it is NULL keep their code.

All columns of a table in ``AUTHENTICATED`` are covered but the code itself and those in ``NOT_COVERED``. The code of a
KMS key also covers its resource tags, and through ``material_macs`` each of its materials.
"""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Float, Table

from strongroom.store.sql.schema import (
    access_key,
    account,
    alias,
    custom_key_store,
    destruction,
    identity,
    identity_link,
    key_grant,
    key_material,
    kms_key,
    xks_proxy,
    xks_proxy_credential,
    xks_proxy_key,
)

MAC = "row_mac"
LABEL = "strongroom-row-1"

AUTHENTICATED = (
    account,
    access_key,
    identity,
    identity_link,
    kms_key,
    alias,
    key_grant,
    custom_key_store,
    xks_proxy,
    xks_proxy_credential,
    xks_proxy_key,
    destruction,
)
"""The tables whose rows have a code of their own."""

WITH_THEIR_KEY = frozenset({"key_material", "key_tag"})
"""The tables whose rows are authenticated together with their KMS key."""

NOT_COVERED = {
    "access_key": frozenset({"last_used_at", "last_used_region", "last_used_service"}),
    "destruction": frozenset({"due_at", "since"}),
}
"""Columns of authenticated tables that decide nothing, and change with each use or attempt."""

UNAUTHENTICATED = {
    "domain_key": "sealed by the root key, bound to scope and version",
    "seal_document": "authenticated by the root key",
    "audit_key": "wrapped under a domain key, bound to its purpose",
    "audit_checkpoint": "its statements are signed by the audit key",
    "audit_mark": "where the last uses of keys were read up to; it decides nothing",
    "retired_node": "it refuses a start; what was lost is stated in the signed audit log",
    "database_history": "compared with the notes in the signed audit log at each start",
    "change": "what the caches of running processes forget; it is trimmed, and no decision is read from it",
    "key_count": "derived: the check of the whole database compares it with the keys",
    "key_usage": "when keys were used last; it decides nothing",
    "principal_use": "when users and roles used services last; it decides nothing",
    "credential_report": "a report for people",
    "last_accessed_job": "a request for a report",
}
"""The other tables, and why their rows need no code."""

_encoder = msgspec.msgpack.Encoder()
_MEMBERS = 0x94
"""The head of a MessagePack array of four."""


class RowFormat:
    """How the rows of one table become messages."""

    def __init__(self, table: Table) -> None:
        left_out = NOT_COVERED.get(table.name, frozenset()) | {MAC}
        positions = {str(column.name): position for position, column in enumerate(table.c)}
        self._covered = sorted((name, position) for name, position in positions.items() if name not in left_out)
        self._floats = frozenset(column.name for column in table.c if isinstance(column.type, Float))
        self._head = bytes((_MEMBERS,)) + _encoder.encode(LABEL) + _encoder.encode(str(table.name))

    def of_values(self, values: Mapping[str, object], parts: Sequence[Sequence[object]] = ()) -> bytes:
        """Return the message of a row that is written; a column that has no value in ``values`` is NULL."""
        members: list[object] = []
        for name, _ in self._covered:
            value = values.get(name)
            if value is not None:
                # A database gives a whole number back as it keeps it: as a float.
                members += (name, float(value) if type(value) is int and name in self._floats else value)
        return self._head + _encoder.encode(members) + _encoder.encode(parts)

    def of_row(self, row: Sequence[object], parts: Sequence[Sequence[object]] = ()) -> bytes | None:
        """Return the message of a row that was read with all columns of its table in their order.

        None if it has text that is no UTF-8, which no row that was written here has.
        """
        members: list[object] = []
        for name, position in self._covered:
            value = row[position]
            if value is not None:
                members += (name, value)
        try:
            return self._head + _encoder.encode(members) + _encoder.encode(parts)
        except UnicodeError:
            return None


FORMATS = {table.name: RowFormat(table) for table in (*AUTHENTICATED, key_material)}
"""The format of each table that has messages, by name."""
