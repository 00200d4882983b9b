"""Bindings: byte strings that say what a wrapped value belongs to. They are authenticated together with the value."""


def binding(*fields: str) -> bytes:
    """Return one byte string for each distinct sequence of fields, each preceded by its length in two bytes."""
    encoded = [field.encode() for field in fields]
    return b"".join(len(field).to_bytes(2) + field for field in encoded)


def access_key_binding(access_key_id: str) -> bytes:
    """Return what the wrapped secret of an access key is bound to."""
    return binding("access-key", access_key_id)


def custom_key_store_binding(store_id: str) -> bytes:
    """Return what the wrapped secret of a custom key store is bound to."""
    return binding("custom-key-store", store_id)


SESSION_BINDING = binding("session")
"""What session tokens are bound to."""

GRANT_TOKEN_BINDING = binding("grant-token")
"""What grant tokens are bound to."""

IMPORT_TOKEN_BINDING = binding("import-token")
"""What import tokens are bound to."""

AUDIT_KEY_BINDING = binding("audit-key")
"""What the wrapped secret of the audit key is bound to."""
