"""Cryptography: key back ends, the service's own secrets, seals, and signed documents.

No other package imports a cryptographic library. The modules here define interfaces and formats:

* ``key_backend``, ``backing_keys``, ``material``: where key material is made, kept and used. Nothing in them returns
  the bytes of a key, so that a hardware token can implement them. ``key_backends`` selects the back end of a KMS key.
* ``seal``, ``domain_keys``, ``envelope``, ``binding``: how keys and secrets are protected at rest.
* ``token_errors``: what calls meet when a hardware token cannot be used.
* ``row_authentication``, ``certificates``: codes of the rows of the database; checks of an operator's certificates.
* ``service_secrets``, ``access_keys``, ``audit_key``: secrets of the service itself, which are handled in software.
* ``data_key_pairs``, ``random_source``, ``key_encodings``, ``keyed_hash``: key pairs and random bytes for callers, and
  helpers.

The packages implement them: ``software`` has the software key back end, ``seals`` the root key, ``pkcs11`` hardware
tokens, ``documents`` formats that are verified or written, ``age`` the encryption of backups. They do not import each
other. Nothing here reads the store or makes decisions on access.
"""
