"""The key's state machine, specs, names and formats: pure functions and frozen types."""
