"""Seals: what wraps the root key that seals the domain keys."""
