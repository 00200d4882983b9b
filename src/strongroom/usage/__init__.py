"""When KMS keys, access keys, users and roles were last used: noted in memory, and written to the database at times.

``key_usage`` and ``access_key_usage`` keep the notes, ``recorded_uses`` finds uses in the audit log after a crash. What
a KMS key may be used for (``KeyUsage``) is a different thing, in ``keys.specs``.
"""
