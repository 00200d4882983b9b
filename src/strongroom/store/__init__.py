"""Durable state behind a Protocol."""
