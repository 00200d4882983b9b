"""Seals: implementations of the root of trust, which seals the domain keys."""
