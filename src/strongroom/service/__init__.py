"""The one door: resolve the key, authorize, run the operation, audit."""
