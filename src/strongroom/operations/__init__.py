"""One small module per capability, and the table with one row per action."""
