"""Signed and encrypted documents of others: attestation, CMS, web identity tokens."""
