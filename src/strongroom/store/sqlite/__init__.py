"""Durable state in SQLite: one writer at a time, group commit, the wal-index as generation."""
