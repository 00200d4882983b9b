"""Cryptography: key back ends, the service's own secrets, seals and signed documents.

No other package imports a cryptographic library.
"""
