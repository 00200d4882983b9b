"""HTTP connections: they are accepted, read, timed, bounded and shed here. Nothing here knows a KMS key."""
