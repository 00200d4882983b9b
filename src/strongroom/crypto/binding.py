"""Bindings: byte strings that name what a wrapped value belongs to. They are authenticated together with the value."""


def binding(*fields: str) -> bytes:
    """Return one byte string for each distinct sequence of fields, each preceded by its length in two bytes."""
    encoded = [field.encode() for field in fields]
    return b"".join(len(field).to_bytes(2) + field for field in encoded)


def access_key_binding(access_key_id: str) -> bytes:
    """Return the binding of an access key's wrapped secret."""
    return binding("access-key", access_key_id)


def custom_key_store_binding(store_id: str) -> bytes:
    """Return the binding of a custom key store's wrapped secret."""
    return binding("custom-key-store", store_id)


def xks_credential_binding(prefix: str, access_key_id: str) -> bytes:
    """Return the binding of the wrapped secret of a credential of an XKS proxy."""
    return binding("xks-credential", prefix, access_key_id)


SESSION_BINDING = binding("session")
"""The binding of session tokens."""

GRANT_TOKEN_BINDING = binding("grant-token")
"""The binding of grant tokens."""

IMPORT_TOKEN_BINDING = binding("import-token")
"""The binding of import tokens."""

AUDIT_KEY_BINDING = binding("audit-key")
"""The binding of the audit key's wrapped secret."""
