"""The audit log on disk: chained lines in segments."""
