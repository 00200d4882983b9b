"""Durable state in SQL that every database shares."""
