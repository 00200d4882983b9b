"""Seals: the root key that protects the domain keys (``root_key``), and the keepers that wrap it, one for each kind.

``file`` wraps it under a key in a file, ``passphrase`` under one that a passphrase gives, ``pkcs11`` under one in a
hardware token, ``kms`` under a KMS key, and ``tpm`` under one that only this machine's TPM 2.0 gives back. ``document``
is the file that has what they have wrapped. Only ``assembly`` may import this package.
"""
