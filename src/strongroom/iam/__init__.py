"""A policy engine that knows nothing of KMS: pure functions and frozen types."""
