"""Encryption of files in the format of age (C2SP, age.md): to recipients by pyrage, under a passphrase here.

Only ``assembly`` and ``cli`` import this package.
"""
